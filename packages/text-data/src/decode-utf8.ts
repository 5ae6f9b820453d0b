import { isUtf8 } from 'node:buffer'
import { invalidText } from './text-error.js'

const byteOrderMark = [0xef, 0xbb, 0xbf] as const

/** Bytes checked by one call while an invalid one is looked for. */
const blockBytes = 65_536

/** The bytes after a UTF-8 byte order mark, or all of them. */
export function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return byteOrderMark.every((byte, index) => bytes[index] === byte) ? bytes.subarray(byteOrderMark.length) : bytes
}

/**
 * Text of bytes that must be UTF-8: never a replacement character for what was not understood. A byte order mark
 * within is kept.
 *
 * @param start offset of the first byte in the file
 * @param place where the bytes are from, for people: `{ line: 3 }`
 * @throws EspalierError TEXT_INVALID with the offset of the first byte that is not UTF-8
 */
export function decodeUtf8(
  bytes: Uint8Array,
  file: string,
  start = 0,
  place: Readonly<Record<string, number>> = {},
): string {
  if (isUtf8(bytes)) return bufferOf(bytes).toString('utf8')
  const byteOffset = start + findInvalidByte(bytes)
  const value = bytes[byteOffset - start] ?? 0
  const places = Object.entries(place).map(([name, number]) => `${name} ${number}, `)
  throw invalidText(
    file,
    `not UTF-8 at ${places.join('')}byte ${byteOffset}, 0x${value.toString(16).padStart(2, '0')}${guessEncoding(bytes)}`,
    {
      ...{ byteOffset, value },
      ...place,
    },
  )
}

/** A view of the same bytes. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Offset of the first byte that starts no valid character; the length of `bytes` when there is none. */
export function findInvalidByte(bytes: Uint8Array): number {
  let offset = 0
  for (let end = 0; offset < bytes.length; offset = end) {
    end = characterStart(bytes, Math.min(bytes.length, offset + blockBytes))
    if (end <= offset || !isUtf8(bytes.subarray(offset, end))) break
  }
  while (offset < bytes.length) {
    const end = offset + characterLength(bytes[offset] ?? 0)
    if (end > bytes.length || !isUtf8(bytes.subarray(offset, end))) return offset
    offset = end
  }
  return offset
}

/** Bytes of the character that starts with this one; 1 where none does. */
function characterLength(first: number): number {
  if (first < 0xc0) return 1
  if (first < 0xe0) return 2
  return first < 0xf0 ? 3 : 4
}

/** The last place at or before `position` where a character may start. */
export function characterStart(bytes: Uint8Array, position: number): number {
  if (position >= bytes.length) return bytes.length
  let start = position
  while (start > 0 && position - start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start -= 1
  return start
}

function guessEncoding(bytes: Uint8Array): string {
  const [first, second] = bytes
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return '; it looks like UTF-16'
  if (first === 0x1f && second === 0x8b) return '; it looks like gzip, whose names end in .gz'
  if (bytes.subarray(0, 4).every((byte, index) => byte === 'PAR1'.charCodeAt(index))) {
    return '; it looks like Parquet, whose names end in .parquet'
  }
  return ''
}
