import { cleanValue } from './clean-value.js'
import { findShards, type Shards } from './find-shards.js'
import type { FieldValues } from './parquet-messages.js'
import { parseTextSource } from './parse-text-source.js'
import { readJsonObjects } from './read-json-lines.js'
import { readInThread } from './read-parquet-rows.js'
import { invalidText } from './text-error.js'

export interface ReadRecordsOptions {
  /** Fields wanted; a record has those of them that its file has. */
  readonly columns: readonly string[]
  /** Taken of a folder of several splits when the source names none. */
  readonly defaultSplit: string
  /** Records from the start; Infinity: all. */
  readonly mostRecords: number
}

export interface DataRecord {
  readonly values: FieldValues
  /** Where it is from, for people: `FILE, row 3`. */
  readonly place: string
}

export interface ReadRecords {
  readonly files: readonly string[]
  readonly records: readonly DataRecord[]
}

/**
 * Reads records from local files: `PATH` or `FOLDER::SPLIT`. PATH is a file of JSON lines (`.jsonl`, `.ndjson`, `.json`, each
 * also `.gz`) or Parquet, a folder of shards, or a pattern.
 *
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID with the line or row
 */
export async function readRecords(source: string, options: ReadRecordsOptions): Promise<ReadRecords> {
  const { path, split, field, join, rows } = await parseTextSource(source)
  if (field !== null || join !== null || rows !== null) throw invalidText(source, 'records are read whole, without "#"')
  const shards = await findRecords(path, split, options.defaultSplit)
  if (shards.format === 'text') {
    throw invalidText(path, 'it is neither JSON lines (.jsonl, .ndjson, .json, .gz of these) nor Parquet (.parquet)')
  }
  const records: DataRecord[] = []
  for (const file of shards.files) {
    for await (const record of readFile(file, shards.format, options, options.mostRecords - records.length)) {
      if (records.length >= options.mostRecords) break
      records.push(record)
    }
  }
  if (records.length === 0) throw invalidText(source, 'there are no records in it')
  return { files: shards.files, records }
}

/** The split that is named; else the default one, of a folder with several. */
async function findRecords(path: string, split: string | null, defaultSplit: string): Promise<Shards> {
  if (split !== null) return findShards(path, split)
  try {
    return await findShards(path, null)
  } catch (several) {
    return findShards(path, defaultSplit).catch(() => {
      throw several
    })
  }
}

async function* readFile(
  file: string,
  format: Shards['format'],
  { columns }: ReadRecordsOptions,
  mostRows: number,
): AsyncGenerator<DataRecord> {
  if (mostRows <= 0) return
  if (format === 'jsonl') {
    for await (const { value, line } of readJsonObjects(file)) {
      const fields = columns.filter((column) => Object.hasOwn(value, column))
      const entries = fields.map((field) => [field, cleanValue(Reflect.get(value, field), file, { line })] as const)
      yield { values: Object.fromEntries(entries), place: `${file}, line ${line}` }
    }
    return
  }
  let row = 0
  for await (const answer of readInThread({ file, wanted: { columns }, mostRows })) {
    if (answer.kind !== 'records') continue
    for (const values of answer.records) {
      row += 1
      yield { values, place: `${file}, row ${row}` }
    }
  }
}
