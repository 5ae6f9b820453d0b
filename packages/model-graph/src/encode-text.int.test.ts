import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Tokenizer } from 'tokenizers'
import { findByteEnds } from './encode-parts.js'
import { encodeText } from './encode-text.js'
import { loadTokenizer } from './load-tokenizer.js'
import { chooseCutting, findCuts } from './split-text.js'

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
    expect(chooseCutting(tokenizerJson)).toBe('words')
    const anySplit = { ...splitBy('\\s+'), behavior: 'Isolated' }
    const sequence = { type: 'Sequence', pretokenizers: [anySplit, plain] }
    expect(chooseCutting({ normalizer: { type: 'NFC' }, pre_tokenizer: sequence, model: bpe })).toBe('checked')
    const known = splitBy(digitsBy('\\p{N}'))
    expect(chooseCutting({ pre_tokenizer: sequenceOf(known, plain), model: bpe })).toBe('words')
    // There the blanks are letters before the expression sees them.
    expect(chooseCutting({ pre_tokenizer: sequenceOf(plain, known), model: bpe })).toBe('checked')
    expect(chooseCutting({ pre_tokenizer: sequenceOf({ ...known, behavior: 'Removed' }, plain), model: bpe })).toBe(
      'checked',
    )
    for (const whole of [
      { pre_tokenizer: null, model: bpe },
      { pre_tokenizer: plain, model: bpe },
      { pre_tokenizer: { ...byteLevel, add_prefix_space: true }, model: bpe },
      { pre_tokenizer: { type: 'Metaspace' }, model: bpe },
      { pre_tokenizer: byteLevel, model: { type: 'Unigram' } },
      { pre_tokenizer: byteLevel, model: { ...bpe, dropout: 0.1 } },
      { normalizer: { type: 'Prepend', prepend: '▁' }, pre_tokenizer: byteLevel, model: bpe },
    ]) {
      expect(chooseCutting(whole)).toBe('nowhere')
    }
  })

  it('is not cut before every word where added tokens go over blanks', () => {
    const plainToken = { content: '<|end of text|>', single_word: false, lstrip: false, rstrip: false }
    const choiceWith = (token: object) =>
      chooseCutting({
        pre_tokenizer: byteLevel,
        model: bpe,
        added_tokens: [{ ...plainToken, content: '<|end|>' }, token],
      })
    expect(choiceWith({ ...plainToken, content: '  ' })).toBe('words')
    for (const token of [
      plainToken,
      { ...plainToken, content: 'the ' },
      { ...plainToken, content: 'x', rstrip: true },
      { ...plainToken, content: 'x', lstrip: true },
      { ...plainToken, content: 'x', single_word: true },
      {},
    ]) {
      expect(choiceWith(token)).toBe('checked')
    }
  })
})

const tokenizerJson = JSON.parse(json)
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
const plain = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
const bpe = { type: 'BPE' }
const splitBy = (expression: string) => ({
  ...{ type: 'Split', pattern: { Regex: expression }, behavior: 'Isolated', invert: false },
})

/** As Qwen2 and Llama 3 have it. */
const digitsBy = (digits: string) =>
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const sequenceOf = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers })

describe.each([
  ['GPT-2', {}],
  ['SmolLM2', { pre_tokenizer: sequenceOf({ type: 'Digits', individual_digits: true }, byteLevel) }],
  ['Qwen2', { normalizer: { type: 'NFC' }, pre_tokenizer: sequenceOf(splitBy(digitsBy('\\p{N}')), plain) }],
  ['Llama 3', { pre_tokenizer: sequenceOf(splitBy(digitsBy('\\p{N}{1,3}')), plain) }],
])('a text cut before every word by the rules of %s', (_, rules) => {
  const rulesJson = { ...tokenizerJson, ...rules }
  const library = Tokenizer.fromString(JSON.stringify(rulesJson))
  const anyPart = fc.oneof(
    fc.constantFrom(' the', ' of', 'I', " I'll", "'S", ' ', '  ', '\n', ' \n', '\r\n', '\t', '12345', ' 7', '...', '-'),
    fc.constantFrom('é', 'e\u0301', ' \u0301', ' 東京', '😀', ' 𝒳', '\u00a0', '\u3000', '<|endoftext|>', '’', ' "'),
    fc.string({ unit: 'grapheme', maxLength: 6 }),
  )
  const anyText = fc.array(anyPart, { maxLength: 60 }).map((parts) => parts.join(''))

  it('has the ids and ends that it has as a whole', async () => {
    expect(chooseCutting(rulesJson)).toBe('words')
    await fc.assert(
      fc.asyncProperty(anyText, async (text) => {
        const whole = await library.encode(text, null, { addSpecialTokens: false })
        const { ids, byteEnds } = await encodeText(library, text, 'words', { atLeast: null, withByteEnds: true })
        expect(Array.from(ids)).toEqual(whole.getIds())
        expect(byteEnds).toEqual(findByteEnds(text, whole.getOffsets()))
      }),
      { numRuns: 400 },
    )
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
