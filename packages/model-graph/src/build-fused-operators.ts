import type { OnnxGraph } from '@espalier/tensor-files'
import {
  type AttentionShape,
  addSilu,
  addSoftcap,
  contribDomain,
  type GraphOperators,
  type SequenceValues,
} from './build-operators.js'
import { castTo } from './compute-type.js'

/** ONNX Runtime's fused operators, and attention that skips what causality forbids. */
export const fusedOperators: GraphOperators = {
  norm: addNorm,
  project: addProjection,
  silu: (graph, value, computeType) =>
    computeType === 'float'
      ? graph.add('QuickGelu', [value], { alpha: { float: 1 } }, contribDomain)
      : addSilu(graph, value),
  gelu: (graph, value) => graph.add('Gelu', [value], { approximate: 'tanh' }),
  attend: addAttention,
}

function addNorm(graph: OnnxGraph, value: string, weight: string, epsilon: number): string {
  return graph.add('SimplifiedLayerNormalization', [value, weight], {
    axis: -1,
    epsilon: { float: epsilon },
    stash_type: 1,
  })
}

function addProjection(graph: OnnxGraph, value: string, weight: string): string {
  return graph.add('FusedMatMul', [value, weight], { transB: 1 }, contribDomain)
}

/**
 * softmax(cap(Q K^T scale)) V in blocks of queries. A block [from, to) sees only the keys before `to`: with n blocks
 * (n + 1) / 2n of all scores are computed, fewer in a sliding window, and few exist at a time. On a CPU this takes half the time of
 * GroupQueryAttention, which computes all scores. Rows of a block: R = headsPerGroup heads times its queries, so
 * that the number of groups G may vary and a product is one matrix a group.
 */
function addAttention(
  graph: OnnxGraph,
  sequence: SequenceValues,
  { headsPerGroup, headDim, scale, softcap, computeType }: AttentionShape,
  query: string,
  key: string,
  value: string,
): string {
  const rotate = (heads: string) =>
    graph.add('RotaryEmbedding', [heads, graph.int64([0]), sequence.cosine, sequence.sine], {}, contribDomain)
  const slice = (input: string, from: string, to: string, axis: number) =>
    graph.add('Slice', [input, from, to, graph.int64([axis])])
  const reshape = (input: string, leading: readonly number[], last: string) =>
    graph.add('Reshape', [input, graph.add('Concat', [graph.int64(leading), last], { axis: 0 })])
  const split = graph.add('Reshape', [rotate(query), graph.int64([0, 0, -1, headsPerGroup, headDim])])
  const queries = graph.add('Transpose', [split], { perm: [0, 2, 3, 1, 4] }) // [B, G, R, T, D]
  const keys = splitGroups(graph, rotate(key), headDim) // [B, G, T, D]
  const values = splitGroups(graph, value, headDim) // [B, G, T, D]
  const blocks = sequence.queryBlocks().map(({ from, to, firstKey, keys: keyCount, mask }) => {
    const start = firstKey ?? graph.int64([0])
    const rows = graph.add('Reshape', [slice(queries, from, to, 3), graph.int64([0, 0, -1, headDim])])
    const seen = slice(keys, start, to, 2)
    const dots = graph.add('FusedMatMul', [rows, seen], { transB: 1, alpha: { float: scale } }, contribDomain)
    const product = castTo(graph, dots, computeType, 'float')
    const scores = softcap === null ? product : addSoftcap(graph, product, softcap) // [B, G, R x block, keys]
    const heads = reshape(scores, [0, 0, headsPerGroup, -1], keyCount) // [B, G, R, block, keys]
    const shares = graph.add('Softmax', [graph.add('Add', [heads, mask])], { axis: -1 })
    const weights = castTo(graph, shares, 'float', computeType)
    const mixed = graph.add('MatMul', [reshape(weights, [0, 0, -1], keyCount), slice(values, start, to, 2)])
    return graph.add('Reshape', [mixed, graph.int64([0, 0, headsPerGroup, -1, headDim])])
  })
  const attended = graph.add('Concat', blocks, { axis: 3 }) // [B, G, R, T, D]
  const joined = graph.add('Transpose', [attended], { perm: [0, 3, 1, 2, 4] })
  return graph.add('Reshape', [joined, graph.int64([0, 0, -1])])
}

/** [B, T, G x D] -> [B, G, T, D] */
function splitGroups(graph: OnnxGraph, value: string, headDim: number): string {
  const split = graph.add('Reshape', [value, graph.int64([0, 0, -1, headDim])])
  return graph.add('Transpose', [split], { perm: [0, 2, 1, 3] })
}
