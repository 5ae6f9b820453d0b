import { describe, expect, it } from '@jest/globals'
import { findSplit, isOfSplit } from './find-split.js'

describe('the split of a shard', () => {
  it.each([
    ['data/train-00000-of-00002.parquet', 'train'],
    ['en/c4-validation.00000-of-00008.json.gz', 'validation'],
    ['wikitext-2-raw-v1/test-00000-of-00001.parquet', 'test'],
    ['dev.jsonl', 'validation'],
    ['Training/0000.parquet', 'train'],
    ['validation/train.jsonl', 'validation'],
    ['my_val_set1.json', 'validation'],
    ['latest.parquet', null],
    ['constructor.parquet', null],
    ['attest/contest.parquet', null],
  ])('of %s is %s', (path, split) => {
    expect(findSplit(path)).toBe(split)
  })

  it('may have any name', () => {
    expect(isOfSplit('data/extra.v2-00000-of-00001.parquet', 'extra.v2')).toBe(true)
    expect(isOfSplit('data/extra-v2.parquet', 'extra.v2')).toBe(false)
    expect(isOfSplit('data/extras.parquet', 'extra')).toBe(false)
  })
})
