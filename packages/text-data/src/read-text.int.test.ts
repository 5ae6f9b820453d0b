import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { readText, readTextStart } from './read-text.js'
import { maxTextBytes } from './text-limits.js'

const fixtures = join(import.meta.dirname, '../fixtures')
const folder = mkdtempSync(join(tmpdir(), 'espalier-text-data-'))
afterAll(() => rmSync(folder, { recursive: true }))

let files = 0
function write(name: string, contents: string | Uint8Array): string {
  files += 1
  const directory = join(folder, `${files}`)
  mkdirSync(directory)
  writeFileSync(join(directory, name), contents)
  return join(directory, name)
}

const sha256 = (text: string | Uint8Array) => createHash('sha256').update(text).digest('hex')

interface Expected {
  readonly sha256: string
  readonly bytes: number
  readonly start: string
  readonly rows: number
  readonly nullRows?: number
}
const expected: Readonly<Record<string, Expected>> = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8'))

describe('data sets that pyarrow and Python wrote', () => {
  it.each(Object.keys(expected))('%s is the text that Python joins', async (source) => {
    const { text, textHash, description } = await readText(join(fixtures, source))
    const { start, nullRows = 0, ...numbers } = expected[source] ?? { start: '' }
    expect(text.startsWith(start)).toBe(true)
    expect({ sha256: textHash, ...description }).toMatchObject({ ...numbers, nullRows })
    expect(sha256(text)).toBe(textHash)
  })

  it('says how a text came about', async () => {
    const c4 = await readText(join(fixtures, 'c4/en::validation'))
    expect(c4.description).toMatchObject({
      ...{ format: 'jsonl', split: 'validation', field: 'text', join: 'blank', rule: 'c4', rows: 1100 },
      files: [join(fixtures, 'c4/en/c4-validation.00000-of-00008.json.gz')],
    })
    const wikitext = await readText(join(fixtures, 'wikitext/wikitext-2-raw-v1::test'))
    expect(wikitext.description).toMatchObject({ format: 'parquet', join: 'blank-line', rule: 'default', nullRows: 0 })
  })

  it.each([
    ['not-utf8.parquet', /not UTF-8 at row 3, byte 2, 0xc3/],
    ['nested.parquet', /no column "text"; it has: translation, words, number, a\.b/],
    ['nested.parquet#translation.fr', /no column "translation\.fr"/],
    ['nested.parquet#translation', /holds a struct, which is no text/],
    ['nested.parquet#words', /holds lists/],
    ['nested.parquet#number', /holds INT64, which is no text/],
    ['wikitext', /several splits \(test, train\); name one: FOLDER::SPLIT/],
    ['hub/**', /several formats \(text, parquet, jsonl\)/],
    ['hub/data/train-00000-of-00002.parquet::train', /"::train" needs a folder/],
    ['hub/data/*.parquet::train', /a pattern has no splits/],
    ['hub::../train', /"\.\.\/train" is no name of a split/],
    ['hub::train#text&rows=0', /"rows=0" is not understood/],
    ['hub::train#text&join=tab', /"join=tab" is not understood; .*blank-line, newline, blank or none/],
    ['hub::train#', /has to follow "#"/],
    ['make_fixtures.py#text', /a file of text has no field "text"/],
    ['make_fixtures.py#rows=3', /one file of text has no rows/],
  ])('%s is refused with what is wrong', async (source, message) => {
    await expect(readText(join(fixtures, source))).rejects.toMatchObject({
      code: 'TEXT_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it.each([
    ['hub::validation2', /no split "validation2"; the names of its files say: train, validation/],
    ['absent', /absent does not exist/],
    ['hub/*.csv', /there is no \.parquet, \.jsonl/],
  ])('%s is not found', async (source, message) => {
    const failure = { code: 'TEXT_NOT_FOUND', message: expect.stringMatching(message), details: { split: 'test' } }
    await expect(readText(join(fixtures, source), { purpose: 'test' })).rejects.toMatchObject(failure)
  })

  it('refuses a column without a single text', async () => {
    const failure = { code: 'TEXT_TOO_SHORT', details: { rows: 2 } }
    await expect(readText(join(fixtures, 'nulls/all.parquet'))).rejects.toMatchObject(failure)
  })

  it('reads files behind links, as the cache of the hub has them', async () => {
    mkdirSync(join(folder, 'snapshot/data'), { recursive: true })
    const shard = 'data/validation-00000-of-00001.parquet'
    symlinkSync(join(fixtures, 'hub', shard), join(folder, 'snapshot', shard))
    const { textHash } = await readText(join(folder, 'snapshot::validation'))
    expect(textHash).toBe(expected['hub::validation']?.sha256)
  })

  it('survives any damage to a Parquet file', async () => {
    const names = ['nulls/version2', 'nulls/delta', 'codecs/lz4', 'codecs/brotli', 'hub/data/train-00001-of-00002']
    const damage = fc.array(
      fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.integer({ min: 0, max: 255 })),
      {
        ...{ minLength: 1, maxLength: 3 },
      },
    )
    const survives = fc.asyncProperty(fc.constantFrom(...names), damage, async (name, bytes) => {
      const file = readFileSync(join(fixtures, `${name}.parquet`))
      for (const [position, byte] of bytes) file[Math.floor(position * file.length)] = byte
      const result = await readText(write('damaged.parquet', file)).catch((error: unknown) => error)
      if (result instanceof Error) expect(Object(result).code).toMatch(/^TEXT_(INVALID|TOO_SHORT)$/)
    })
    await fc.assert(survives, { numRuns: 24, seed: 1 })
  })
})

describe('a file of text', () => {
  it('is its own text, with the hash of the file', async () => {
    const bytes = Buffer.from('Grüße \u2028 aus\r\nKöln\n\n')
    const { text, textHash, description } = await readText(write('any.name', bytes))
    expect(text).toBe(bytes.toString())
    expect(textHash).toBe(sha256(bytes))
    expect(description).toMatchObject({ format: 'text', field: null, rows: 1, bytes: bytes.length })
  })

  it('may have a byte order mark, be packed, and be called anything', async () => {
    const plain = await readText(write('a.txt', 'one\n'))
    for (const same of [
      write('a.txt', '\ufeffone\n'),
      write('a.txt.gz', gzipSync('one\n')),
      write('a#text&rows=3::test[1].txt', 'one\n'),
    ]) {
      expect((await readText(same)).textHash).toBe(plain.textHash)
    }
  })

  it.each([
    ['a byte that is not UTF-8', Buffer.concat([Buffer.from('Grü'), Buffer.from([0xff, 0x41])]), 4, /byte 4, 0xff/],
    ['a character cut off', Buffer.from('Grü').subarray(0, 3), 2, /byte 2, 0xc3/],
    [
      'a bad byte behind many good ones',
      Buffer.concat([Buffer.from('ü'.repeat(99_999)), Buffer.from([0xc3])]),
      199_998,
      /0xc3/,
    ],
    ['a bad byte behind a mark', Buffer.from([0xef, 0xbb, 0xbf, 0x41, 0x80]), 4, /byte 4, 0x80/],
    ['half of a surrogate pair', Buffer.from([0x41, 0xed, 0xa0, 0x80]), 1, /byte 1, 0xed/],
    ['UTF-16', Buffer.from('\ufeffone', 'utf16le'), 0, /byte 0, 0xff; it looks like UTF-16/],
    ['gzip', gzipSync('text'), 1, /byte 1, 0x8b; it looks like gzip/],
    ['binary', Buffer.from('one\0two'), 3, /binary, not text: byte 3 is 0/],
  ])('is refused for %s, with the offset', async (_, bytes, byteOffset, message) => {
    const failure = { code: 'TEXT_INVALID', details: { byteOffset }, message: expect.stringMatching(message) }
    await expect(readText(write('a.txt', bytes))).rejects.toMatchObject(failure)
  })

  it.each([[''], ['\ufeff'], [' \n\t\n']])('is refused when %j is all it has', async (contents) => {
    await expect(readText(write('a.txt', contents))).rejects.toMatchObject({ code: 'TEXT_TOO_SHORT' })
  })

  it('is refused when it is longer than a tokenizer can hold, packed or not', async () => {
    const long = Buffer.alloc(maxTextBytes + 1, 'a')
    for (const file of [write('a.txt', long), write('a.txt.gz', gzipSync(long, { level: 1 }))]) {
      const failure = { code: 'TEXT_INVALID', details: { allowed: maxTextBytes } }
      await expect(readText(file)).rejects.toMatchObject(failure)
      expect(await readTextStart(file, 100)).toMatchObject({ isWhole: false })
    }
  })

  it('is refused when its gzip is broken', async () => {
    const packed = gzipSync('text '.repeat(1000))
    for (const bytes of [packed.subarray(0, 20), Buffer.from('text')]) {
      const failure = { code: 'TEXT_INVALID', message: expect.stringContaining('not gzip') }
      await expect(readText(write('a.txt.gz', bytes))).rejects.toMatchObject(failure)
    }
  })

  it('can be read from its start, to the end of a character', async () => {
    const file = write('a.txt', `\ufeff${'ä'.repeat(50)}`)
    for (const mostBytes of [1, 2, 3, 4, 60, 61, 100]) {
      const { text, bytes, isWhole } = await readTextStart(file, mostBytes)
      expect(text).toMatch(/^ä+$/)
      expect(bytes).toBe(Buffer.byteLength(text))
      expect(bytes - mostBytes).toBeGreaterThanOrEqual(0)
      expect(bytes - mostBytes).toBeLessThan(8)
      expect(isWhole).toBe(false)
    }
    expect(await readTextStart(file, 101)).toEqual({ text: 'ä'.repeat(50), bytes: 100, isWhole: true })
  })
})

describe('JSON lines', () => {
  it('may have escapes, any line end, empty lines and a field of any name', async () => {
    const lines = [
      '\ufeff{"a.b": "\\u00fc\\n\\ud83d\\ude00\\"", "n": 1}\r',
      '',
      '  ',
      '{"a.b":"x\u2028y\\u0000"}',
      '{"a.b": null}',
    ]
    const { text, description } = await readText(`${write('a.jsonl', lines.join('\n'))}#a.b`)
    expect(text).toBe('ü\n😀"\n\nx\u2028y\0')
    expect(description).toMatchObject({ rows: 3, nullRows: 1, field: 'a.b' })
  })

  it('may have the text within an object', async () => {
    const { text } = await readText(`${write('a.ndjson', '{"a":{"b":{"c":"deep"}}}\n{"a":null}')}#a.b.c`)
    expect(text).toBe('deep')
  })

  it.each([
    ['a line that is no JSON', '{"text":"a"}\n{"text":\n', 2, /line 2 is not JSON/],
    ['a line that is cut off', '{"text":"a"}\n\n{"text":"b', 3, /line 3 is not JSON/],
    ['an array', '[{"text":"a"}]', 1, /line 1 is an array/],
    ['a number', '{"text":"a"}\n7', 2, /line 2 is a number/],
    ['another field', '{"text":"a"}\n{"txt":"b"}', 2, /line 2 has no field "text"; it has: txt/],
    ['what only its prototype has', '{"toString":1}', 1, /no field "text"/],
    ['a text that is none', '{"text":["a"]}', 1, /line 1 has an array in the field "text"/],
    ['half of a surrogate pair', '{"text":"\\ud83d"}', 1, /line 1 has half of a surrogate pair/],
    ['deep nesting', `{"text":${'['.repeat(1_000_000)}`, 1, /line 1/],
  ])('are refused for %s, with the line', async (_, contents, line, message) => {
    const failure = { code: 'TEXT_INVALID', details: { line }, message: expect.stringMatching(message) }
    await expect(readText(write('a.jsonl', contents))).rejects.toMatchObject(failure)
  })

  it('are refused for what is not UTF-8, with line and offset', async () => {
    const bytes = Buffer.concat([Buffer.from('{"text":"ü"}\n{"text":"'), Buffer.from([0xfc]), Buffer.from('"}\n')])
    const failure = { code: 'TEXT_INVALID', details: { line: 2, byteOffset: 23 } }
    await expect(readText(write('a.jsonl', bytes))).rejects.toMatchObject(failure)
  })

  it('never show what stands in a line that is no JSON', async () => {
    const result = readText(write('a.jsonl', 'secret: "value"\n'))
    await expect(result).rejects.toMatchObject({ message: expect.not.stringMatching(/secret|value/) })
  })

  it('are the same text in one file, in shards, packed, and with lines longer than a piece read', async () => {
    const row = fc.oneof(fc.string({ unit: 'binary' }), fc.constant('long '.repeat(300_000)))
    const shards = fc.array(fc.array(row, { maxLength: 5 }), { minLength: 1, maxLength: 4 })
    const same = fc.asyncProperty(shards, fc.constantFrom('\n', '\r\n'), async (rows, end) => {
      const text = rows.flat().join('\n\n')
      fc.pre(/\S/.test(text))
      const jsonl = (part: readonly string[]) => part.map((value) => JSON.stringify({ text: value }) + end).join('')
      const whole = write('whole.jsonl', jsonl(rows.flat()))
      const first = write('0.jsonl', jsonl(rows[0] ?? []))
      const parts = join(first, '..')
      for (const [index, part] of rows.entries()) {
        if (index > 0)
          writeFileSync(
            join(parts, `${index}.jsonl${index % 2 ? '.gz' : ''}`),
            index % 2 ? gzipSync(jsonl(part)) : jsonl(part),
          )
      }
      for (const source of [whole, `${parts}`, `${parts}/*.jsonl*`]) {
        const read = await readText(source)
        expect(read.text === text).toBe(true)
        expect(read.textHash).toBe(sha256(text))
      }
    })
    await fc.assert(same, { numRuns: 15 })
  })

  it('can be read from their start only', async () => {
    const file = write('a.jsonl', '{"text":"one"}\n{"text":"two"}\nnot JSON')
    expect(await readTextStart(file, 8)).toEqual({ text: 'one\n\ntwo', bytes: 8, isWhole: false })
    await expect(readTextStart(file, 9)).rejects.toMatchObject({ details: { line: 3 } })
  })
})
