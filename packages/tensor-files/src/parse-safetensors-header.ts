import { type ErrorCode, EspalierError, showValue } from '@espalier/contracts'
import { parseJson } from './parse-json.js'

/** Bits an element, by safetensors 0.6; types narrower than a byte are not written by anyone who stores models. */
const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const

export type SafetensorsDtype = keyof typeof dtypeBytes

export function bytesOfDtype(dtype: SafetensorsDtype): number {
  return dtypeBytes[dtype]
}

export interface SafetensorsTensor {
  readonly name: string
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>
}

/** Facts an error about a file carries. */
interface Fault {
  readonly tensor?: string
  readonly expected: unknown
  readonly found: unknown
}

/** Throws the error of a file that is not as it has to be. */
export function refuseFile(file: string, code: ErrorCode, what: string, fault: Fault): never {
  const { expected } = fault
  const tensor = fault.tensor === undefined ? {} : { tensor: showValue(fault.tensor) }
  const found = typeof fault.found === 'number' ? fault.found : showValue(fault.found)
  const where = tensor.tensor === undefined ? file : `${file}, tensor ${tensor.tensor}`
  throw new EspalierError(code, `${where}: ${what}: expected ${showValue(expected)}, found ${found}`, {
    file,
    ...tensor,
    expected,
    found,
  })
}

/**
 * Parses and checks the JSON header of a safetensors file: known dtypes, sizes that fit shapes, and data that
 * covers the rest of the file without holes or overlap, and no name given twice (as the format demands).
 *
 * @param fileBytes Size of the whole file.
 * @throws EspalierError MODEL_FILE_INVALID, MODEL_FILE_TRUNCATED
 */
export function parseSafetensorsHeader(file: string, header: Uint8Array, fileBytes: number): SafetensorsHeader {
  const dataStart = 8 + header.byteLength
  const entries = Object.entries(parseJsonObject(file, header))
  const metadata = parseMetadata(file, entries.find(([name]) => name === '__metadata__')?.[1])
  const tensors = entries
    .filter(([name]) => name !== '__metadata__')
    .map(([name, value]) => parseTensor(file, name, value, dataStart))
    .sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  checkCoverage(file, tensors, dataStart, fileBytes)
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseJsonObject(file: string, header: Uint8Array): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = parseJson(new TextDecoder('utf-8', { fatal: true }).decode(header), { uniqueNames: true })
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    refuseFile(file, 'MODEL_FILE_INVALID', 'the header is not valid', { expected: 'JSON, every name once', found })
  }
  if (!isRecord(parsed)) {
    refuseFile(file, 'MODEL_FILE_INVALID', 'the header is not valid', { expected: 'an object', found: typeof parsed })
  }
  return parsed
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  if (value === undefined) return {}
  const isText = (entry: [string, unknown]): entry is [string, string] => typeof entry[1] === 'string'
  const entries = isRecord(value) ? Object.entries(value) : null
  if (!entries?.every(isText)) {
    refuseFile(file, 'MODEL_FILE_INVALID', '__metadata__ is not valid', { expected: 'texts by name', found: value })
  }
  return Object.fromEntries(entries)
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

function parseTensor(file: string, name: string, value: unknown, dataStart: number): SafetensorsTensor {
  const refuse = (what: string, expected: unknown, found: unknown): never =>
    refuseFile(file, 'MODEL_FILE_INVALID', what, { tensor: name, expected, found })
  if (!isRecord(value)) return refuse('the entry is not valid', 'dtype, shape and data_offsets', value)
  const { dtype, shape, data_offsets: range } = value
  if (typeof dtype !== 'string' || !Object.hasOwn(dtypeBytes, dtype)) {
    return refuse('the dtype is not known', Object.keys(dtypeBytes), dtype)
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) return refuse('the shape is not valid', 'counts', shape)
  const [begin, end] = Array.isArray(range) && range.length === 2 ? (range as unknown[]) : []
  if (!isCount(begin) || !isCount(end) || end < begin) {
    return refuse('data_offsets is not valid', '[begin, end], 0 <= begin <= end', range)
  }
  const known = dtype as SafetensorsDtype
  const bytes = shape.reduce((product, length) => product * length, dtypeBytes[known])
  if (bytes !== end - begin) refuse(`the size does not fit ${dtype} ${showValue(shape)}`, bytes, end - begin)
  return { name, dtype: known, shape, offset: dataStart + begin, bytes }
}

function checkCoverage(file: string, sorted: readonly SafetensorsTensor[], dataStart: number, fileBytes: number): void {
  let reached = dataStart
  for (const { name: tensor, offset, bytes } of sorted) {
    if (offset !== reached) {
      const what = offset < reached ? 'the data overlap with the tensor before' : 'there is a hole before the data'
      refuseFile(file, 'MODEL_FILE_INVALID', what, { tensor, expected: reached, found: offset })
    }
    reached = offset + bytes
  }
  if (reached > fileBytes) {
    refuseFile(file, 'MODEL_FILE_TRUNCATED', 'the file ends too early', { expected: reached, found: fileBytes })
  }
  if (reached < fileBytes) {
    refuseFile(file, 'MODEL_FILE_INVALID', 'there are bytes after the data', { expected: reached, found: fileBytes })
  }
}
