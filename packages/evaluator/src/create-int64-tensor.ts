import { Tensor } from 'onnxruntime-node'

/**
 * Token ids or indices, whole numbers from 0 to 2^31 - 1, as int64. A BigInt for each of them would fill the heap with
 * garbage, where memory may be short: the lower halves are written instead, in the byte order that ONNX Runtime needs.
 */
export function createInt64Tensor(values: ArrayLike<number>, dimensions: readonly number[]): Tensor {
  const data = new BigInt64Array(values.length)
  const halves = new Int32Array(data.buffer)
  for (let index = 0; index < values.length; index++) halves[2 * index] = values[index] ?? 0
  return new Tensor('int64', data, dimensions)
}
