import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from '@jest/globals'
import { loadTokenizer } from './load-tokenizer.js'

const demo = fileURLToPath(new URL('../../../models/demo', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-tokenizer-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('encodes each of many texts as it encodes one', async () => {
  const tokenizer = await loadTokenizer(demo)
  // More characters than go in one message.
  const texts = ['', 'a', 'The cup fell. '.repeat(60_000), 'é 😀', 'The river rose. '.repeat(60_000), 'b']
  const together = await tokenizer.encodeEach(texts)
  expect(together).toHaveLength(texts.length)
  for (const [index, text] of texts.entries()) expect(together[index]).toEqual(await tokenizer.encode(text))
  expect(await tokenizer.encodeEach([])).toEqual([])
})

it('adds the special tokens of tokenizer.json to each of many, and none to one text', async () => {
  const tokenizer = JSON.parse(readFileSync(join(demo, 'tokenizer.json'), 'utf8'))
  const content = '<|endoftext|>'
  tokenizer.post_processor = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: content, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: { [content]: { id: content, ids: [0], tokens: [content] } },
  }
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer))
  const { encode, encodeEach } = await loadTokenizer(folder)
  const plain = await encode('The cup fell.')
  expect(plain[0]).not.toBe(0)
  expect(await encodeEach(['The cup fell.', ''])).toEqual([Int32Array.of(0, ...plain), Int32Array.of(0)])
})
