import { EspalierError, type ExecutionProvider, type Precision } from '@espalier/contracts'
import { type HuggingFaceModel, listTensors } from '@espalier/model-graph'

const precisionOf = { F32: 'fp32', F16: 'fp16', BF16: 'bf16' } as const

/**
 * `auto` on a GPU: the type that all weights have, so that none is converted; else, and on a CPU, fp32.
 *
 * @throws EspalierError CONFIGURATION_INVALID for bf16 on a CPU, where ONNX Runtime has no products in it
 */
export function choosePrecision(
  wanted: Precision | 'auto',
  provider: ExecutionProvider,
  model: HuggingFaceModel,
): Precision {
  if (wanted === 'bf16' && provider === 'cpu') {
    throw new EspalierError(
      'CONFIGURATION_INVALID',
      'The precision bf16 was asked for on a CPU, where ONNX Runtime computes in fp32 and fp16 only',
      { precision: wanted, provider, allowed: ['fp32', 'fp16'] },
    )
  }
  if (wanted !== 'auto') return wanted
  if (provider === 'cpu') return 'fp32'
  const types = new Set(listTensors(model).map(({ dtype }) => dtype))
  const [only] = types
  return types.size === 1 && only !== undefined ? precisionOf[only] : 'fp32'
}
