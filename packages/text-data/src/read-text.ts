import { createHash } from 'node:crypto'
import { EspalierError, type Split } from '@espalier/contracts'
import { findShards, type Shards } from './find-shards.js'
import { type JoinName, joinRuleOf, joins } from './join-rules.js'
import { parseTextSource, type TextSource } from './parse-text-source.js'
import { readJsonLines } from './read-json-lines.js'
import { readParquetRows } from './read-parquet-rows.js'
import { readPlainText } from './read-plain-text.js'
import { invalidText } from './text-error.js'
import type { TextFormat } from './text-formats.js'
import { maxTextBytes } from './text-limits.js'
import type { TextRow } from './text-row.js'

export interface ReadTextOptions {
  /** What the text is for; errors name it. */
  readonly purpose?: Split
}

/** How a text came about: what another needs to make the same one. */
export interface TextDescription {
  readonly source: string
  readonly format: TextFormat
  readonly files: readonly string[]
  readonly split: string | null
  /** Field or column; null: the files are texts. */
  readonly field: string | null
  readonly join: JoinName
  /** `given`: the source says how; else the rule of the data set by its name. */
  readonly rule: 'default' | 'c4' | 'given'
  readonly rows: number
  /** Rows without a text, left out. They are among `rows`. */
  readonly nullRows: number
  /** UTF-8. */
  readonly bytes: number
}

export interface ReadText {
  readonly text: string
  /** SHA-256 of the text as UTF-8; that of a plain file without byte order mark is that of the file. */
  readonly textHash: string
  readonly description: TextDescription
}

/** A text, or its start. */
export interface TextStart {
  readonly text: string
  readonly bytes: number
  readonly isWhole: boolean
}

const defaultField = 'text'

/**
 * Reads a text from local files: `PATH[::SPLIT][#FIELD][&rows=N][&join=NAME]`. PATH is a file of text, JSON lines (`.jsonl`,
 * `.ndjson`, `.json`) or Parquet, a folder of shards or a pattern; `.gz` is unpacked. Rows are joined as the literature does:
 * see join-rules.ts.
 *
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID with the byte, line or row, TEXT_TOO_SHORT for no text at all
 */
export async function readText(source: string, options: ReadTextOptions = {}): Promise<ReadText> {
  return explained(source, options, async () => {
    const opened = await openText(source)
    const collected = await collectRows(opened, Number.POSITIVE_INFINITY)
    const { nullRows, bytes, rows } = collected
    const { rule, shards, field, join, split } = opened
    return {
      text: collected.text,
      textHash: collected.textHash,
      description: {
        ...{ source, format: shards.format, files: shards.files, split, rule, join, rows, nullRows, bytes },
        field: shards.format === 'text' ? null : field,
      },
    }
  })
}

/**
 * The first bytes of a text, and whether these are all: enough to tell that there is a text, without reading gigabytes.
 *
 * @param mostBytes about as many are read
 * @throws what readText throws, for what is read
 */
export async function readTextStart(
  source: string,
  mostBytes: number,
  options: ReadTextOptions = {},
): Promise<TextStart> {
  return explained(source, options, async () => {
    const { text, bytes, isWhole } = await collectRows(await openText(source), mostBytes)
    return { text, bytes, isWhole }
  })
}

/**
 * The files that a source stands for, in name order; none of them is opened.
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID
 */
export async function findTextFiles(source: string): Promise<readonly string[]> {
  return (await openText(source)).shards.files
}

interface OpenedText {
  readonly source: string
  readonly shards: Shards
  readonly split: string | null
  readonly field: string
  readonly join: JoinName
  readonly rule: TextDescription['rule']
  readonly mostRows: number
}

async function openText(source: string): Promise<OpenedText> {
  const parsed = await parseTextSource(source)
  const shards = await findShards(parsed.path, parsed.split)
  refuseUselessSettings(parsed, shards, source)
  const rule = joinRuleOf(shards.files[0] ?? '')
  const isGiven = parsed.join !== null || parsed.rows !== null
  return {
    ...{ source, shards, split: parsed.split },
    field: parsed.field ?? defaultField,
    join: parsed.join ?? rule.join,
    rule: isGiven ? 'given' : rule.name,
    mostRows: parsed.rows ?? (shards.format === 'text' ? Number.POSITIVE_INFINITY : rule.rows),
  }
}

function refuseUselessSettings(parsed: TextSource, { format, files }: Shards, source: string): void {
  if (format !== 'text') return
  if (parsed.field !== null) throw invalidText(source, `a file of text has no field "${parsed.field}"`)
  if (files.length === 1 && (parsed.rows !== null || parsed.join !== null)) {
    throw invalidText(source, 'one file of text has no rows to choose or join')
  }
}

async function* readRows({ shards, field, mostRows }: OpenedText, mostBytes: number): AsyncGenerator<TextRow> {
  for (const file of shards.files) {
    if (shards.format === 'text') yield await readPlainText(file, mostBytes)
    if (shards.format === 'jsonl') yield* readJsonLines(file, field)
    if (shards.format === 'parquet') yield* readParquetRows(file, field, mostRows)
  }
}

interface CollectedRows extends TextStart {
  readonly textHash: string
  readonly rows: number
  readonly nullRows: number
}

async function collectRows(opened: OpenedText, mostBytes: number): Promise<CollectedRows> {
  const separator = joins[opened.join]
  const hash = createHash('sha256')
  const texts: string[] = []
  let bytes = 0
  let rows = 0
  let isWhole = true
  for await (const row of readRows(opened, mostBytes)) {
    rows += 1
    if (row.text !== null) {
      if (texts.length > 0) hash.update(separator)
      const encoded = row.bytes ?? Buffer.from(row.text)
      hash.update(encoded)
      bytes += encoded.length + (texts.length > 0 ? separator.length : 0)
      texts.push(row.text)
    }
    if (bytes > maxTextBytes) throw tooLong(opened.source)
    isWhole = bytes < mostBytes
    if (rows >= opened.mostRows || !isWhole) break
  }
  const text = texts.length === 1 ? (texts[0] ?? '') : texts.join(separator)
  if (!/\S/.test(text)) throw emptyText(opened, rows, bytes)
  return { text, textHash: hash.digest('hex'), bytes, rows, nullRows: rows - texts.length, isWhole }
}

function tooLong(source: string): Error {
  return invalidText(
    source,
    `more than the ${maxTextBytes} bytes that are allowed for one text; take fewer rows: "#${defaultField}&rows=1000"`,
    { allowed: maxTextBytes },
  )
}

function emptyText({ source, shards }: OpenedText, rows: number, bytes: number): Error {
  const what = shards.format === 'text' ? '' : `${rows} rows and `
  return new EspalierError('TEXT_TOO_SHORT', `${source} has ${what}nothing but white space in ${bytes} bytes`, {
    ...{ rows, bytes, tokens: 0 },
  })
}

/** Says in every error which text it was for. */
async function explained<Value>(source: string, { purpose }: ReadTextOptions, read: () => Promise<Value>) {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof EspalierError) || purpose === undefined) throw error
    const details = { ...error.details, split: purpose, path: source }
    throw new EspalierError(error.code, `The ${purpose} text ${error.message}`, details, { cause: error })
  }
}
