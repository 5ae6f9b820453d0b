import type { OnnxGraph } from '@espalier/tensor-files'
import { type AttentionShape, contribDomain, type GraphOperators, type SequenceValues } from './build-operators.js'
import { addAttention as addStandardAttention } from './build-standard-operators.js'

/** ONNX Runtime's fused operators. */
export const fusedOperators: GraphOperators = { norm: addNorm, project: addProjection, attend: addAttention }

/** GroupQueryAttention takes only heads whose size is a multiple of this. */
const headDimStep = 8

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

/** Groups are folded into the batch axis, so that the operator sees one key-value head however many there are. */
function addAttention(
  graph: OnnxGraph,
  sequence: SequenceValues,
  shape: AttentionShape,
  query: string,
  key: string,
  value: string,
): string {
  const { headsPerGroup, headDim } = shape
  if (headDim % headDimStep !== 0) return addStandardAttention(graph, sequence, shape, query, key, value)
  const int32 = (number: string) => graph.add('Cast', [number], { to: { type: 'int32' } })
  const lastPosition = int32(graph.add('Sub', [sequence.length, graph.int64([1])]))
  const foldedQuery = foldGroups(graph, sequence, query, headsPerGroup * headDim)
  const foldedBatch = graph.add('Slice', [graph.add('Shape', [foldedQuery]), graph.int64([0]), graph.int64([1])])
  const lastPositions = graph.add('Expand', [lastPosition, foldedBatch])
  const attended = graph.createName('attended')
  graph.addNode({
    operator: 'GroupQueryAttention',
    domain: contribDomain,
    inputs: [
      foldedQuery,
      foldGroups(graph, sequence, key, headDim),
      foldGroups(graph, sequence, value, headDim),
      '',
      '',
      lastPositions,
      int32(graph.add('Squeeze', [sequence.length])),
      sequence.cosine,
      sequence.sine,
    ],
    outputs: [attended, graph.createName('present_key'), graph.createName('present_value')],
    attributes: { num_heads: headsPerGroup, kv_num_heads: 1, do_rotary: 1, rotary_interleaved: 0 },
  })
  return unfoldGroups(graph, sequence, attended, headsPerGroup * headDim)
}

/** [B, T, G x width] -> [B x G, T, width] */
function foldGroups(graph: OnnxGraph, { length }: SequenceValues, value: string, width: number): string {
  const split = graph.add('Reshape', [value, graph.int64([0, 0, -1, width])])
  const swapped = graph.add('Transpose', [split], { perm: [0, 2, 1, 3] })
  const shape = graph.add('Concat', [graph.int64([-1]), length, graph.int64([width])], { axis: 0 })
  return graph.add('Reshape', [swapped, shape])
}

/** [B x G, T, width] -> [B, T, G x width] */
function unfoldGroups(graph: OnnxGraph, { batch, length }: SequenceValues, value: string, width: number): string {
  const shape = graph.add('Concat', [batch, graph.int64([-1]), length, graph.int64([width])], { axis: 0 })
  const split = graph.add('Reshape', [value, shape])
  const swapped = graph.add('Transpose', [split], { perm: [0, 2, 1, 3] })
  return graph.add('Reshape', [swapped, graph.int64([0, 0, -1])])
}
