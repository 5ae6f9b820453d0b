import { describe, expect, it } from '@jest/globals'
import { compileGlob } from './match-glob.js'

describe('a pattern', () => {
  it.each([
    ['/d/*.jsonl', ['/d/a.jsonl', '/d/.jsonl'], ['/d/e/a.jsonl', '/d/a.jsonl.gz', '/d/ajsonl']],
    ['/d/**/*.txt', ['/d/a.txt', '/d/e/f/a.txt'], ['/da.txt', '/d/a/txt']],
    ['/d/**', ['/d/a', '/d/e/a'], ['/e/a']],
    ['/d/part-[0-3]?.json', ['/d/part-0a.json', '/d/part-39.json'], ['/d/part-4a.json', '/d/part-0.json']],
    ['/d/[!ab].txt', ['/d/c.txt'], ['/d/a.txt', '/d//.txt']],
    ['/d/a+(b)|{c}.*', ['/d/a+(b)|{c}.x'], ['/d/aab.x', '/d/c.x']],
    ['/d/[^]*', ['/d/^a', '/d/^'], ['/d/x']],
  ])('%s', (pattern, matches, others) => {
    const expression = compileGlob(pattern)
    expect(matches.filter((path) => !expression.test(path))).toEqual([])
    expect(others.filter((path) => expression.test(path))).toEqual([])
  })
})
