import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Tokenizer } from 'tokenizers'
import { findByteEnds } from './encode-text.js'
import { loadTokenizer } from './load-tokenizer.js'
import { findCuts, isCuttable } from './split-text.js'

const demo = fileURLToPath(new URL('../../../models/demo', import.meta.url))
const json = readFileSync(join(demo, 'tokenizer.json'), 'utf8')

/** The library's ids of the whole text at once. */
async function encodeWhole(text: string): Promise<number[]> {
  const encoding = await Tokenizer.fromString(json).encode(text, null, { addSpecialTokens: false })
  return encoding.getIds()
}

/** Words and lines that begin and end in all ways, longer than three pieces. */
function awkwardText(): string {
  const parts = [
    'naïve words',
    'a\u0301',
    '東京',
    '😀😀',
    '\n',
    '\n\n',
    ' \n',
    '\n ',
    '\r\n',
    '\t',
    '12',
    '...',
    '’s',
    "'ll",
    '   ',
  ]
  const picks = fc.sample(fc.nat(parts.length - 1), { numRuns: 70_000, seed: 5 })
  const text = picks.map((pick) => parts[pick]).join('')
  expect(findCuts(text).length).toBeGreaterThan(2)
  return text
}

describe('a text in pieces', () => {
  it('has the ids that it has as a whole', async () => {
    const text = awkwardText()
    const tokenizer = await loadTokenizer(demo)
    const whole = await encodeWhole(text)
    expect(Array.from(await tokenizer.encode(text))).toEqual(whole)

    const { ids, byteEnds } = await tokenizer.encodeWithEnds(text, null)
    expect(Array.from(ids)).toEqual(whole)
    expect(byteEnds).toHaveLength(whole.length)
    expect(byteEnds.at(-1)).toBe(Buffer.byteLength(text))
    expect(byteEnds.every((end, token) => end >= (byteEnds[token - 1] ?? 0))).toBe(true)
  }, 60_000)

  it('is left where enough ids are found', async () => {
    const text = awkwardText()
    const tokenizer = await loadTokenizer(demo)
    const { ids } = await tokenizer.encodeWithEnds(text, 1000)
    expect(ids.length).toBeGreaterThanOrEqual(1000)
    expect(Array.from(ids)).toEqual((await encodeWhole(text)).slice(0, ids.length))
    expect(ids.length).toBeLessThan((await tokenizer.encode(text)).length)
  }, 60_000)

  it('is cut only where merges stay within words', () => {
    const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: true }
    expect(isCuttable(JSON.parse(json))).toBe(true)
    const split = { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Isolated' }
    const plain = { type: 'ByteLevel', add_prefix_space: false, use_regex: false }
    const bpe = { type: 'BPE' }
    expect(
      isCuttable({
        normalizer: { type: 'NFC' },
        pre_tokenizer: { type: 'Sequence', pretokenizers: [split, plain] },
        model: bpe,
      }),
    ).toBe(true)
    for (const whole of [
      { pre_tokenizer: null, model: bpe },
      { pre_tokenizer: plain, model: bpe },
      { pre_tokenizer: { ...byteLevel, add_prefix_space: true }, model: bpe },
      { pre_tokenizer: { type: 'Metaspace' }, model: bpe },
      { pre_tokenizer: byteLevel, model: { type: 'Unigram' } },
      { pre_tokenizer: byteLevel, model: { ...bpe, dropout: 0.1 } },
      { normalizer: { type: 'Prepend', prepend: '▁' }, pre_tokenizer: byteLevel, model: bpe },
    ]) {
      expect(isCuttable(whole)).toBe(false)
    }
  })
})

it('counts the bytes of characters, also of those that tokens share', () => {
  // "é" in one token, "😀" in two, a blank in none
  expect(
    Array.from(
      findByteEnds('aé 😀', [
        [0, 1],
        [1, 2],
        [3, 4],
        [3, 4],
      ]),
    ),
  ).toEqual([1, 3, 8, 8])
})
