import type { ModelShape } from '@espalier/contracts'
import type { OnnxGraph } from '@espalier/tensor-files'
import type { GraphOperators, QueryBlock, SequenceValues } from './build-operators.js'
import { GraphWeights, type LocateWeight } from './build-weights.js'
import type { HuggingFaceModel, LayerTensors, TensorLocation } from './hugging-face-model.js'

/** What every layer of a graph reads. */
export interface DecoderContext {
  readonly model: HuggingFaceModel
  readonly weights: GraphWeights
  readonly operators: GraphOperators
  readonly sequence: SequenceValues
}

/** Lowest value of the causal mask: far below any score, and finite so that no arithmetic gives NaN. */
const masked = -1e30

/** Blocks of queries that attention is computed in; more save less and less and cost a few small nodes each. */
const queryBlockCount = 8

/** Query heads that share one key-value head. */
export function headsPerGroup(shape: ModelShape): number {
  return shape.queryHeads / shape.kvHeads
}

/** Adds the input `input_ids` [B, T] int64 and what every layer needs of a run. */
export function addDecoderContext(
  graph: OnnxGraph,
  model: HuggingFaceModel,
  operators: GraphOperators,
  locate: LocateWeight,
): DecoderContext {
  const ids = graph.addInput('input_ids', 'int64', ['batch', 'sequence'])
  const length = graph.add('Shape', [ids], { start: 1, end: 2 })
  const positions = graph.add('Range', [graph.int64(0), graph.add('Squeeze', [length]), graph.int64(1)])
  const causalMask = once(() => addCausalMask(graph, positions, positions))
  const queryBlocks = once(() => addQueryBlocks(graph, positions, length))
  const sequence = { causalMask, queryBlocks, ...addRotation(graph, model, positions) }
  return { model, operators, sequence, weights: new GraphWeights(graph, locate) }
}

/** Adds nodes at the first call; a graph without a user of the mask has no mask. */
function once<T>(add: () => T): () => T {
  let added: { readonly value: T } | null = null
  return () => {
    added ??= { value: add() }
    return added.value
  }
}

function addQueryBlocks(graph: OnnxGraph, positions: string, length: string): readonly QueryBlock[] {
  const blockCount = graph.int64([queryBlockCount])
  // Rounded up, so that what is empty when T is small are the last blocks: they still have keys, but no queries.
  const size = graph.add('Div', [graph.add('Add', [length, graph.int64([queryBlockCount - 1])]), blockCount])
  const edges = Array.from({ length: queryBlockCount + 1 }, (_, index) =>
    graph.add('Min', [length, graph.add('Mul', [size, graph.int64([index])])]),
  )
  return edges.slice(1).map((to, index) => {
    const from = edges[index] ?? to
    const queries = graph.add('Slice', [positions, from, to])
    const keys = graph.add('Slice', [positions, graph.int64([0]), to])
    return { from, to, mask: addCausalMask(graph, queries, keys) }
  })
}

/** Cosine and sine [T, D / 2] of position x inverse frequency, in float as transformers computes them. */
function addRotation(
  graph: OnnxGraph,
  { config: { rope } }: HuggingFaceModel,
  positions: string,
): { cosine: string; sine: string } {
  const column = graph.add('Cast', [graph.add('Unsqueeze', [positions, graph.int64([1])])], { to: { type: 'float' } })
  const angles = graph.add('Mul', [column, graph.float(Float32Array.from(rope.inverseFrequencies))])
  const scaled = (value: string) =>
    rope.attentionFactor === 1 ? value : graph.add('Mul', [value, graph.float(rope.attentionFactor)])
  return { cosine: scaled(graph.add('Cos', [angles])), sine: scaled(graph.add('Sin', [angles])) }
}

function addCausalMask(graph: OnnxGraph, queries: string, keys: string): string {
  const from = graph.add('Unsqueeze', [queries, graph.int64([1])])
  const to = graph.add('Unsqueeze', [keys, graph.int64([0])])
  return graph.add('Where', [graph.add('Greater', [to, from]), graph.float(masked), graph.float(0)])
}

/** The embedded tokens, [B, T, hidden]. */
export function addEmbedding(graph: OnnxGraph, { model, weights }: DecoderContext): string {
  return weights.gathered(graph, model.embedding, model.embedding.shape, 0, 'input_ids')
}

export function addNorm(graph: OnnxGraph, context: DecoderContext, value: string, weight: TensorLocation): string {
  const { model, operators, weights } = context
  return operators.norm(graph, value, weights.float(graph, weight), model.config.rmsNormEpsilon)
}

/**
 * Attention of one layer up to the input of o_proj, [B, T, G x heads a group x D].
 * `kept` (int64 [G]) names the key-value groups that are computed; null: all that the weights have.
 */
export function addAttention(
  graph: OnnxGraph,
  context: DecoderContext,
  layer: LayerTensors,
  normed: string,
  kept: string | null,
): string {
  const { operators, sequence, model } = context
  const { headDim } = model.shape
  const heads = headsPerGroup(model.shape)
  const project = (weight: TensorLocation, bias: TensorLocation | null, norm: TensorLocation | null, rows: number) => {
    const projected = addUnitProjection(graph, context, normed, { weight, bias, rows, kept })
    return norm === null ? projected : addHeadNorm(graph, context, projected, norm)
  }
  const query = project(layer.q, layer.qBias, layer.qNorm, heads * headDim)
  const key = project(layer.k, layer.kBias, layer.kNorm, headDim)
  const value = project(layer.v, layer.vBias, null, headDim)
  return operators.attend(graph, sequence, { headsPerGroup: heads, headDim }, query, key, value)
}

/** silu(gate) * up of one layer, the input of down_proj, [B, T, C]; `kept` (int64 [C]) as in `addAttention`. */
export function addFeedForward(
  graph: OnnxGraph,
  context: DecoderContext,
  layer: LayerTensors,
  normed: string,
  kept: string | null,
): string {
  const project = (weight: TensorLocation, bias: TensorLocation | null) =>
    addUnitProjection(graph, context, normed, { weight, bias, rows: 1, kept })
  const gate = project(layer.gate, layer.gateBias)
  const silu = graph.add('Mul', [gate, graph.add('Sigmoid', [gate])])
  return graph.add('Mul', [silu, project(layer.up, layer.upBias)])
}

interface UnitProjection {
  readonly weight: TensorLocation
  readonly bias: TensorLocation | null
  /** Output rows of one unit; they lie side by side in the file. */
  readonly rows: number
  readonly kept: string | null
}

/** Projects onto the output rows of the kept units, [B, T, kept x rows]. */
function addUnitProjection(
  graph: OnnxGraph,
  { operators, weights }: DecoderContext,
  value: string,
  { weight, bias, rows, kept }: UnitProjection,
): string {
  const addBias = (product: string, biasValue: string) => graph.add('Add', [product, biasValue])
  if (kept === null) {
    const product = operators.project(graph, value, weights.float(graph, weight))
    return bias === null ? product : addBias(product, weights.float(graph, bias))
  }
  const [outputs = 0, inputs = 0] = weight.shape
  const units = outputs / rows
  const blocks = weights.gathered(graph, weight, [units, rows * inputs], 0, kept)
  const matrix = rows === 1 ? blocks : graph.add('Reshape', [blocks, graph.int64([-1, inputs])])
  const product = operators.project(graph, value, matrix)
  if (bias === null) return product
  const biasBlocks = weights.gathered(graph, bias, [units, rows], 0, kept)
  return addBias(product, graph.add('Reshape', [biasBlocks, graph.int64([-1])]))
}

/** Normalises every head by itself: [B, T, heads x D] -> the same shape. */
function addHeadNorm(graph: OnnxGraph, context: DecoderContext, value: string, norm: TensorLocation): string {
  const heads = graph.add('Reshape', [value, graph.int64([0, 0, -1, context.model.shape.headDim])])
  return graph.add('Reshape', [addNorm(graph, context, heads, norm), graph.int64([0, 0, -1])])
}
