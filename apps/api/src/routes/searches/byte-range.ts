import { EspalierError } from '@espalier/contracts'

/** First and last byte, both included. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * The one range that a Range header asks for (RFC 9110, section 14); undefined: the whole file, which is also the
 * answer to several ranges and to units other than bytes, as the RFC allows.
 *
 * @throws REQUEST_RANGE_INVALID when the range begins behind the end of the file
 */
export function parseByteRange(header: string | undefined, size: number): ByteRange | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? '')
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return undefined
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first)
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (first !== '' && last !== '' && Number(first) > Number(last)) return undefined
  if (start >= size || end < start) {
    throw new EspalierError('REQUEST_RANGE_INVALID', `The range "${header}" is outside the file of ${size} bytes`, {
      value: header,
      bytes: size,
    })
  }
  return { start, end }
}
