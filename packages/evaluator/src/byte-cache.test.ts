import { describe, expect, it } from '@jest/globals'
import { ByteCache } from './byte-cache.js'

describe('ByteCache', () => {
  it('gives up what was not used for longest', () => {
    const cache = new ByteCache<string>(10)
    cache.set('a', 'first', 4)
    cache.set('b', 'second', 4)
    expect(cache.find('a')).toBe('first')
    cache.set('c', 'third', 4)
    expect(['a', 'b', 'c'].map((key) => cache.find(key))).toEqual(['first', undefined, 'third'])
  })

  it('counts a replaced entry once and keeps nothing larger than itself', () => {
    const cache = new ByteCache<string>(10)
    cache.set('a', 'old', 8)
    cache.set('a', 'new', 5)
    cache.set('b', 'other', 5)
    expect(cache.find('a')).toBe('new')
    cache.set('c', 'huge', 11)
    expect([cache.find('a'), cache.find('b'), cache.find('c')]).toEqual(['new', 'other', undefined])
  })
})
