import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { loadTokenizer } from '@espalier/model-graph'
import { readText } from '@espalier/text-data'
import { afterAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { idsFromBytes, idsToBytes, tokeniseText } from './tokenise-text.js'

const demo = resolve(import.meta.dirname, '../../../models/demo')
const wikitext = resolve(import.meta.dirname, '../../../packages/text-data/fixtures/wikitext')
const folder = mkdtempSync(join(tmpdir(), 'espalier-texts-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('tokeniseText', () => {
  it('counts whole windows of the bundled texts', async () => {
    const tokenizer = await loadTokenizer(demo)
    const text = await tokeniseText(tokenizer, 'test', join(demo, 'texts/test.txt'), 256)
    expect(text.windows).toBe(227)
    expect(text.windows).toBe(Math.floor(text.ids.length / 256))
    expect(text.textHash).toMatch(/^[0-9a-f]{64}$/)
    expect(text.windowBytes).toHaveLength(227)
    // bench/reference/bytes_reference.py counts 14,833 in the first 16 windows.
    expect(text.windowBytes.slice(0, 16).reduce((sum, bytes) => sum + bytes)).toBe(14_833)
  })

  it('gives the same tokens and hash for the same rows as text, JSON lines and Parquet', async () => {
    const tokenizer = await loadTokenizer(demo)
    const { text } = await readText(`${wikitext}::test`)
    writeFileSync(join(folder, 'rows.txt'), text)
    writeFileSync(join(folder, 'rows.jsonl'), JSON.stringify({ body: text }))
    const sources = [`${wikitext}::test`, join(folder, 'rows.txt'), `${join(folder, 'rows.jsonl')}#body`]
    const [parquet, ...others] = await Promise.all(sources.map((source) => tokeniseText(tokenizer, 'test', source, 64)))
    expect(parquet?.windows).toBeGreaterThan(10)
    for (const other of others) expect(other).toEqual(parquet)
  })

  it('refuses a text shorter than one window, with both lengths', async () => {
    const path = join(folder, 'short.txt')
    writeFileSync(path, 'In the beginning')
    const tokenizer = await loadTokenizer(demo)
    await expect(tokeniseText(tokenizer, 'validation', path, 256)).rejects.toMatchObject({
      code: 'TEXT_TOO_SHORT',
      details: { split: 'validation', windowLength: 256 },
    })
  })

  it('refuses a text that is not there, with its path', async () => {
    const path = join(folder, 'none.txt')
    const tokenizer = await loadTokenizer(demo)
    await expect(tokeniseText(tokenizer, 'test', path, 16)).rejects.toMatchObject({
      code: 'TEXT_NOT_FOUND',
      message: expect.stringContaining(path),
    })
  })
})

describe('token ids in the artefact store', () => {
  it('come back as they were', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 31 - 1 })), (ids) => {
        expect([...idsFromBytes(idsToBytes(Int32Array.from(ids)))]).toEqual(ids)
      }),
    )
  })
})
