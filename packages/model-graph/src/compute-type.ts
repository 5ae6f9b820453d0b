import type { Precision } from '@espalier/contracts'
import type { OnnxGraph, OnnxType } from '@espalier/tensor-files'

/** Type of matrix products and of what flows between them. Softmax and likelihood are computed in float in any case. */
export type ComputeType = 'float' | 'float16' | 'bfloat16'

export const computeTypeOf = {
  fp32: 'float',
  fp16: 'float16',
  bf16: 'bfloat16',
} as const satisfies Record<Precision, ComputeType>

/** The value in another type; where it has that type, itself. */
export function castTo(graph: OnnxGraph, value: string, from: OnnxType, to: OnnxType): string {
  return from === to ? value : graph.add('Cast', [value], { to: { type: to } })
}
