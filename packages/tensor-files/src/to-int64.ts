/**
 * Whole numbers from 0 to 2^31 - 1 as int64. A BigInt for each of them takes time and fills the heap with garbage, where
 * memory may be short: the lower halves are written instead, in the byte order that ONNX Runtime needs.
 */
export function toInt64(values: ArrayLike<number>): BigInt64Array {
  const data = new BigInt64Array(values.length)
  const halves = new Int32Array(data.buffer)
  for (let index = 0; index < values.length; index++) halves[2 * index] = values[index] ?? 0
  return data
}
