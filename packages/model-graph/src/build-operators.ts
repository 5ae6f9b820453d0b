import type { OnnxGraph } from '@espalier/tensor-files'
import type { ComputeType } from './compute-type.js'

/** Operators beyond the standard that ONNX Runtime carries. */
export const contribDomain = 'com.microsoft'

/** Heads and scores of one attention call. G key-value groups, D = headDim. */
export interface AttentionShape {
  /** Query heads that share one key-value head. */
  readonly headsPerGroup: number
  readonly headDim: number
  /** Factor on the product of queries and keys. */
  readonly scale: number
  /** c of c tanh(score / c); null: scores stay as they are. */
  readonly softcap: number | null
  /** Of query, key and value; scores are capped and normalised in float. */
  readonly computeType: ComputeType
}

/** Positions [from, to) of a run, which see positions before `to`. */
export interface QueryBlock {
  /** [1] int64 */
  readonly from: string
  /** [1] int64 */
  readonly to: string
  /** [1] int64, the first position that they may see; null: 0. */
  readonly firstKey: string | null
  /** [1] int64, to - firstKey */
  readonly keys: string
  /** [to - from, keys] float: 0 where a position may look, very negative where not. */
  readonly mask: string
}

/** Values of a run that attention of a layer needs, for runs of T tokens. */
export interface SequenceValues {
  /** [T, D / 2] in the type of queries, and the sine. */
  readonly cosine: string
  readonly sine: string
  /** [T, T] float: 0 where a position may look, very negative where not. */
  readonly causalMask: () => string
  /** Blocks of about equal size that cover the run in order; some are empty when T is small. */
  readonly queryBlocks: () => readonly QueryBlock[]
}

/** How the parts of a decoder are written: as ONNX Runtime's fused operators or as standard ONNX alone. */
export interface GraphOperators {
  /** Root mean square normalisation over the last axis. */
  norm(graph: OnnxGraph, value: string, weight: string, epsilon: number): string
  /** [.., inputs] x [outputs, inputs]^T -> [.., outputs] */
  project(graph: OnnxGraph, value: string, weight: string): string
  /** x / (1 + exp(-x)) */
  silu(graph: OnnxGraph, value: string, computeType: ComputeType): string
  /** x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
  gelu(graph: OnnxGraph, value: string): string
  /**
   * Rotates queries and keys and attends causally.
   * query [B, T, G x headsPerGroup x D], key and value [B, T, G x D] -> [B, T, G x headsPerGroup x D]
   */
  attend(
    graph: OnnxGraph,
    sequence: SequenceValues,
    shape: AttentionShape,
    query: string,
    key: string,
    value: string,
  ): string
}

/** c tanh(value / c) */
export function addSoftcap(graph: OnnxGraph, value: string, cap: number): string {
  const ratio = graph.add('Mul', [value, graph.float(1 / cap)])
  return graph.add('Mul', [graph.add('Tanh', [ratio]), graph.float(cap)])
}

/** x / (1 + exp(-x)) in standard operators. */
export function addSilu(graph: OnnxGraph, value: string): string {
  return graph.add('Mul', [value, graph.add('Sigmoid', [value])])
}
