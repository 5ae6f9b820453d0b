import { decodeUtf8, withoutByteOrderMark } from './decode-utf8.js'
import { openBytes } from './open-bytes.js'
import { invalidText } from './text-error.js'
import { maxLineBytes } from './text-limits.js'
import type { TextRow } from './text-row.js'

/**
 * The rows of a file with one JSON object a line: the text in one field of each. Lines of white space are none.
 *
 * @param field a name, or names with dots between them for objects within
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID with the line, counted from 1
 */
export async function* readJsonLines(file: string, field: string): AsyncGenerator<TextRow> {
  for await (const { value, line } of readJsonObjects(file))
    yield { text: textOf(value, field, file, line), bytes: null }
}

/**
 * The objects of a file with one JSON object a line.
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID with the line, counted from 1
 */
export async function* readJsonObjects(
  file: string,
): AsyncGenerator<{ readonly value: object; readonly line: number }> {
  for await (const { bytes, line, byteOffset } of readLines(file)) {
    const json = decodeUtf8(bytes, file, byteOffset, { line })
    if (json.trim() !== '') yield { value: parseLine(json, file, line), line }
  }
}

interface Line {
  readonly bytes: Uint8Array
  /** Counted from 1. */
  readonly line: number
  readonly byteOffset: number
}

/** Lines end with a newline and with nothing else: JSON may hold U+2028 as it is. */
async function* readLines(file: string): AsyncGenerator<Line> {
  let line = 1
  let byteOffset = 0
  let started: Buffer[] = []
  let startedBytes = 0
  const finish = (end: Buffer): Line => {
    const whole = started.length === 0 ? end : Buffer.concat([...started, end])
    const bytes = line === 1 ? withoutByteOrderMark(whole) : whole
    const finished = { bytes, line, byteOffset: byteOffset + whole.length - bytes.length }
    byteOffset += whole.length + 1
    line += 1
    started = []
    startedBytes = 0
    return finished
  }
  for await (const chunk of openBytes(file)) {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      yield finish(chunk.subarray(start, end))
      start = end + 1
    }
    started.push(chunk.subarray(start))
    startedBytes += chunk.length - start
    if (startedBytes > maxLineBytes) {
      throw invalidText(file, `line ${line} is longer than the ${maxLineBytes} bytes that are allowed`, { line })
    }
  }
  yield finish(Buffer.alloc(0))
}

function parseLine(json: string, file: string, line: number): object {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    // What stands in the line is left out: a message may reach people who may not read the file.
    const reason = cause instanceof Error ? cause.message.replace(/, .*".*$/su, '') : String(cause)
    throw invalidText(file, `line ${line} is not JSON: ${reason}`, { line })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  const found = Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`
  throw invalidText(file, `line ${line} is ${found}; it must be an object`, { line })
}

function textOf(row: object, field: string, file: string, line: number): string | null {
  const value = findField(row, field)
  if (value === null) return null
  if (value === undefined) {
    const found = Object.keys(row).slice(0, 20).join(', ')
    throw invalidText(file, `line ${line} has no field "${field}"; it has: ${found}`, { line, field })
  }
  if (typeof value !== 'string') {
    const found = Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`
    throw invalidText(file, `line ${line} has ${found} in the field "${field}"; it must be a text`, { line, field })
  }
  // An escape can make half of a surrogate pair, which no UTF-8 and no tokenizer knows.
  if (/\p{Surrogate}/u.test(value)) {
    throw invalidText(file, `line ${line} has half of a surrogate pair in the field "${field}"`, { line, field })
  }
  return value
}

function findField(row: object, field: string): unknown {
  if (Object.hasOwn(row, field)) return Reflect.get(row, field)
  const [first = '', ...rest] = field.split('.')
  if (rest.length === 0 || !Object.hasOwn(row, first)) return undefined
  const within: unknown = Reflect.get(row, first)
  if (within === null) return null
  return typeof within === 'object' ? findField(within, rest.join('.')) : undefined
}
