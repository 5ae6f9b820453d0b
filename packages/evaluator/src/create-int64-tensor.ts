import { toInt64 } from '@espalier/tensor-files'
import { Tensor } from 'onnxruntime-node'

/** Token ids or indices, whole numbers from 0 to 2^31 - 1, as int64. */
export function createInt64Tensor(values: ArrayLike<number>, dimensions: readonly number[]): Tensor {
  return new Tensor('int64', toInt64(values), dimensions)
}
