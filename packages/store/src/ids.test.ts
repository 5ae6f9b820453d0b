import { describe, expect, it } from '@jest/globals'
import { createId } from './ids.js'

describe('createId', () => {
  it('sorts by creation as text, many within one millisecond, and never repeats', () => {
    const ids = Array.from({ length: 20_000 }, () => createId('ste'))
    expect(ids).toEqual([...ids].sort())
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids[0]).toMatch(/^ste_[0-9a-hjkmnp-tv-z]{26}$/)
  })
})
