import type { OnnxGraph } from '@espalier/tensor-files'
import {
  type AttentionShape,
  addSilu,
  addSoftcap,
  type GraphOperators,
  type SequenceValues,
} from './build-operators.js'

/** Operators of ONNX itself, opset 17: any runtime has them. */
export const standardOperators: GraphOperators = {
  norm: addNorm,
  project: addProjection,
  silu: addSilu,
  gelu: addGelu,
  attend: addAttention,
}

/** x / sqrt(mean(x^2) + epsilon) * weight */
function addNorm(graph: OnnxGraph, value: string, weight: string, epsilon: number): string {
  const square = graph.add('Mul', [value, value])
  const mean = graph.add('ReduceMean', [square], { axes: [-1], keepdims: 1 })
  const root = graph.add('Sqrt', [graph.add('Add', [mean, graph.float(epsilon)])])
  return graph.add('Mul', [graph.add('Div', [value, root]), weight])
}

function addProjection(graph: OnnxGraph, value: string, weight: string): string {
  return graph.add('MatMul', [value, graph.add('Transpose', [weight], { perm: [1, 0] })])
}

function addGelu(graph: OnnxGraph, value: string): string {
  const times = (left: string, right: string) => graph.add('Mul', [left, right])
  const cubic = times(graph.float(0.044715), times(times(value, value), value))
  const scaled = times(graph.float(Math.sqrt(2 / Math.PI)), graph.add('Add', [value, cubic]))
  const gate = graph.add('Add', [graph.add('Tanh', [scaled]), graph.float(1)])
  return times(times(graph.float(0.5), value), gate)
}

/** softmax(cap(Q K^T scale) + mask) V with the query heads of a group as one more batch axis, R = headsPerGroup. */
function addAttention(
  graph: OnnxGraph,
  sequence: SequenceValues,
  { headsPerGroup, headDim, scale, softcap }: AttentionShape,
  query: string,
  key: string,
  value: string,
): string {
  const q = addRotation(graph, sequence, splitHeads(graph, query, headsPerGroup, headDim), headDim) // [B, G, R, T, D]
  const k = addRotation(graph, sequence, splitHeads(graph, key, 1, headDim), headDim) // [B, G, 1, T, D]
  const v = splitHeads(graph, value, 1, headDim) // [B, G, 1, T, D]
  const scaled = graph.add('Mul', [q, graph.float(scale)])
  const product = graph.add('MatMul', [scaled, graph.add('Transpose', [k], { perm: [0, 1, 2, 4, 3] })])
  const scores = softcap === null ? product : addSoftcap(graph, product, softcap)
  const weights = graph.add('Softmax', [graph.add('Add', [scores, sequence.causalMask()])], { axis: -1 })
  const mixed = graph.add('MatMul', [weights, v])
  const joined = graph.add('Transpose', [mixed], { perm: [0, 3, 1, 2, 4] }) // [B, T, G, R, D]
  return graph.add('Reshape', [joined, graph.int64([0, 0, -1])])
}

/** [B, T, G x heads x D] -> [B, G, heads, T, D] */
function splitHeads(graph: OnnxGraph, value: string, heads: number, headDim: number): string {
  const split = graph.add('Reshape', [value, graph.int64([0, 0, -1, heads, headDim])])
  return graph.add('Transpose', [split], { perm: [0, 2, 3, 1, 4] })
}

/** The first half of a head turned against its second half, as Hugging Face lays heads out. */
function addRotation(graph: OnnxGraph, { cosine, sine }: SequenceValues, value: string, headDim: number): string {
  const half = (from: number, to: number) =>
    graph.add('Slice', [value, graph.int64([from]), graph.int64([to]), graph.int64([4])])
  const first = half(0, headDim / 2)
  const second = half(headDim / 2, headDim)
  const times = (left: string, right: string) => graph.add('Mul', [left, right])
  const turnedFirst = graph.add('Sub', [times(first, cosine), times(second, sine)])
  const turnedSecond = graph.add('Add', [times(second, cosine), times(first, sine)])
  return graph.add('Concat', [turnedFirst, turnedSecond], { axis: 4 })
}
