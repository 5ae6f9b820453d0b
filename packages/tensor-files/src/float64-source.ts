import { readBytesAt } from './open-safetensors.js'

/** Numbers of 64 bits, little-endian, somewhere in a file: for what need not be in memory as a whole. */
export interface StoredFloat64 {
  readonly path: string
  /** Bytes from the start of the file. */
  readonly offset: number
  /** Numbers. */
  readonly length: number
}

/** Numbers in memory or in a file. */
export type Float64Source = Float64Array | StoredFloat64

/**
 * Numbers `first` to before `end`; of those in memory a view, no copy.
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED
 */
export async function readFloat64Range(
  source: Float64Source,
  first = 0,
  end: number = source.length,
): Promise<Float64Array> {
  if (source instanceof Float64Array) return source.subarray(first, end)
  const size = Float64Array.BYTES_PER_ELEMENT
  const bytes = (end - first) * size
  return new Float64Array((await readBytesAt(source.path, { offset: source.offset + first * size, bytes })).buffer)
}
