import { decodeUtf8 } from './decode-utf8.js'
import { invalidText } from './text-error.js'

/**
 * A value of a file as plain data: bytes that must be UTF-8 become texts, whole numbers of 64 bits become numbers.
 *
 * @param place where it is from, for people: `{ row: 3 }`
 * @throws EspalierError TEXT_INVALID for bytes that are not UTF-8 and for half of a surrogate pair
 */
export function cleanValue(value: unknown, file: string, place: Readonly<Record<string, number>>): unknown {
  if (value instanceof Uint8Array) return decodeUtf8(value, file, 0, place)
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    const where = Object.entries(place).map(([name, number]) => `${name} ${number}`)
    throw invalidText(file, `${where.join(', ')} has half of a surrogate pair`, place)
  }
  if (Array.isArray(value)) return value.map((item) => cleanValue(item, file, place))
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, cleanValue(item, file, place)]))
}
