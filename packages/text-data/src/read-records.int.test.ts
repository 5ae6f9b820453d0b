import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, it } from '@jest/globals'
import { readRecords } from './read-records.js'

const documents = join(import.meta.dirname, '../../tasks/fixtures/documents')
const texts = join(import.meta.dirname, '../fixtures')
const folder = mkdtempSync(join(tmpdir(), 'espalier-records-'))
afterAll(() => rmSync(folder, { recursive: true }))

const options = { defaultSplit: 'validation', mostRecords: Number.POSITIVE_INFINITY }
const columns = ['question', 'choices', 'answerKey', 'endings', 'label', 'passage', 'answer']

async function valuesOf(source: string, wanted = columns) {
  const { records } = await readRecords(source, { ...options, columns: wanted })
  return records.map(({ values }) => values)
}

describe('records', () => {
  // The Parquet files were written by pyarrow of the same rows.
  it.each(['arc_easy', 'hellaswag', 'boolq'])('of %s are the same from Parquet and from JSON lines', async (name) => {
    const parquet = await valuesOf(join(documents, `${name}.parquet`))
    expect(parquet.length).toBeGreaterThan(2)
    expect(parquet).toEqual(await valuesOf(join(documents, `${name}.jsonl`)))
  })

  it('have lists and records in their fields, and only the fields wanted', async () => {
    const [first, second] = await valuesOf(join(documents, 'arc_easy.parquet'), ['choices', 'nowhere'])
    expect(first).toEqual({
      choices: { text: ['a mirror', 'the Sun', 'the Moon', 'a window'], label: ['A', 'B', 'C', 'D'] },
    })
    expect(second).toEqual({ choices: { text: ['1', '12', '10', '120'], label: ['1', '2', '3', '4'] } })
  })

  it('end where they are told to, and say where they are from', async () => {
    for (const [name, place] of [
      ['piqa.jsonl', 'line 2'],
      ['piqa.parquet', 'row 2'],
    ] as const) {
      const file = join(documents, name)
      const { records, files } = await readRecords(file, { ...options, columns: ['goal'], mostRecords: 2 })
      expect(files).toEqual([file])
      expect(records.map((record) => record.place)[1]).toBe(`${file}, ${place}`)
      expect(records).toHaveLength(2)
    }
  })

  it('are those of the default split of a folder, or of the one that is named', async () => {
    const data = join(folder, 'data')
    mkdirSync(data)
    writeFileSync(join(data, 'train-00000.jsonl.gz'), gzipSync('{"label":1}\n{"label":2}\n'))
    writeFileSync(join(data, 'validation-00000.jsonl.gz'), gzipSync('{"label":3}\n'))
    expect(await valuesOf(data)).toEqual([{ label: 3 }])
    expect(await valuesOf(`${data}::train`)).toEqual([{ label: 1 }, { label: 2 }])
    copyFileSync(join(data, 'validation-00000.jsonl.gz'), join(data, 'test.jsonl.gz'))
    await expect(readRecords(data, { ...options, columns, defaultSplit: 'nowhere' })).rejects.toMatchObject({
      message: expect.stringMatching(/several splits \(test, train, validation\)/),
    })
  })
})

describe('refusals', () => {
  const write = (name: string, contents: string) => {
    writeFileSync(join(folder, name), contents)
    return join(folder, name)
  }

  it.each([
    [() => join(texts, 'not-utf8.parquet'), 'text', /not UTF-8 at row 3/],
    [() => join(texts, 'make_fixtures.py'), 'text', /neither JSON lines .* nor Parquet/],
    [() => join(documents, 'piqa.jsonl#goal'), 'goal', /read whole, without "#"/],
    [() => write('empty.jsonl', '\n'), 'text', /no records/],
    [() => write('list.jsonl', '[1]\n'), 'text', /line 1 is an array; it must be an object/],
    [() => write('half.jsonl', '{"text":{"a":["\\ud800"]}}\n'), 'text', /line 1 has half of a surrogate pair/],
    [() => write('no.parquet', 'PAR1 is not enough'), 'text', /not Parquet/],
  ])('%#: a source that holds no records', async (source, column, message) => {
    await expect(readRecords(source(), { ...options, columns: [column] })).rejects.toMatchObject({
      code: 'TEXT_INVALID',
      message: expect.stringMatching(message),
    })
  })

  it('a source that is not there', async () => {
    const missing = readRecords(join(folder, 'missing.jsonl'), { ...options, columns })
    await expect(missing).rejects.toMatchObject({ code: 'TEXT_NOT_FOUND' })
  })
})
