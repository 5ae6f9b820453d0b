import type { ModelShape, WeightPrecision } from '@espalier/contracts'
import type { OnnxGraph } from '@espalier/tensor-files'
import type { GraphOperators, QueryBlock, SequenceValues } from './build-operators.js'
import { GraphWeights, type LocateWeight } from './build-weights.js'
import { type ComputeType, castTo } from './compute-type.js'
import type { HuggingFaceModel, LayerTensors, RotaryEmbedding, TensorLocation } from './hugging-face-model.js'

/** What every layer of a graph reads. */
export interface DecoderContext {
  readonly model: HuggingFaceModel
  readonly weights: GraphWeights
  readonly operators: GraphOperators
  /** What attention of a layer needs of a run. */
  sequenceOf(layer: LayerTensors): SequenceValues
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
  computeType: ComputeType = 'float',
  precision: WeightPrecision = 'stored',
): DecoderContext {
  const ids = graph.addInput('input_ids', 'int64', ['batch', 'sequence'])
  const length = graph.add('Shape', [ids], { start: 1, end: 2 })
  const positions = graph.add('Range', [graph.int64(0), graph.add('Squeeze', [length]), graph.int64(1)])
  const sequences = addSequences(graph, model, { positions, length, computeType })
  const sequenceOf = (layer: LayerTensors) => {
    const sequence = sequences[model.layers.indexOf(layer)]
    if (sequence === undefined) throw new RangeError('The layer is of another model')
    return sequence
  }
  // Products in half precision have no use for a float copy of weights.
  const castWhole = precision === 'fp32' && computeType === 'float'
  return { model, operators, sequenceOf, weights: new GraphWeights(graph, locate, computeType, castWhole) }
}

/** One a layer; what two layers have in common is added once. */
function addSequences(
  graph: OnnxGraph,
  model: HuggingFaceModel,
  { positions, length, computeType }: { positions: string; length: string; computeType: ComputeType },
): SequenceValues[] {
  const rotation = oncePerKey((rope: RotaryEmbedding) => addRotation(graph, rope, positions, computeType))
  const mask = oncePerKey((window: number | null) => addCausalMask(graph, positions, positions, window))
  const blocks = oncePerKey((window: number | null) => addQueryBlocks(graph, positions, length, window))
  return model.config.attention.map(({ window, rope }) => ({
    causalMask: () => mask(window),
    queryBlocks: () => blocks(window),
    ...rotation(rope),
  }))
}

/** Adds nodes at the first call with a key; a graph without a user of the mask has no mask. */
function oncePerKey<K, T>(add: (key: K) => T): (key: K) => T {
  const added = new Map<K, T>()
  return (key) => {
    const known = added.get(key) ?? add(key)
    added.set(key, known)
    return known
  }
}

function addQueryBlocks(
  graph: OnnxGraph,
  positions: string,
  length: string,
  window: number | null,
): readonly QueryBlock[] {
  const blockCount = graph.int64([queryBlockCount])
  // Rounded up, so that what is empty when T is small are the last blocks: they still have keys, but no queries.
  const size = graph.add('Div', [graph.add('Add', [length, graph.int64([queryBlockCount - 1])]), blockCount])
  const edges = Array.from({ length: queryBlockCount + 1 }, (_, index) =>
    graph.add('Min', [length, graph.add('Mul', [size, graph.int64([index])])]),
  )
  return edges.slice(1).map((to, index) => {
    const from = edges[index] ?? to
    const firstKey = window === null ? null : addFirstKey(graph, from, window)
    const queries = graph.add('Slice', [positions, from, to])
    const seen = graph.add('Slice', [positions, firstKey ?? graph.int64([0]), to])
    const keys = firstKey === null ? to : graph.add('Sub', [to, firstKey])
    return { from, to, firstKey, keys, mask: addCausalMask(graph, queries, seen, window) }
  })
}

/** The first position that position `from` sees, or the one before it: a block without queries still has a key. */
function addFirstKey(graph: OnnxGraph, from: string, window: number): string {
  return graph.add('Max', [graph.add('Sub', [from, graph.int64([window])]), graph.int64([0])])
}

/** Cosine and sine [T, D / 2] of position x inverse frequency, computed in float as transformers does. */
function addRotation(
  graph: OnnxGraph,
  rope: RotaryEmbedding,
  positions: string,
  computeType: ComputeType,
): { cosine: string; sine: string } {
  const column = graph.add('Cast', [graph.add('Unsqueeze', [positions, graph.int64([1])])], { to: { type: 'float' } })
  const angles = graph.add('Mul', [column, graph.float(Float32Array.from(rope.inverseFrequencies))])
  const scaled = (value: string) =>
    rope.attentionFactor === 1 ? value : graph.add('Mul', [value, graph.float(rope.attentionFactor)])
  const rotation = (operator: 'Cos' | 'Sin') =>
    castTo(graph, scaled(graph.add(operator, [angles])), 'float', computeType)
  return { cosine: rotation('Cos'), sine: rotation('Sin') }
}

/** [queries, keys]: 0 where a query may look, that is at q - window < k <= q. */
function addCausalMask(graph: OnnxGraph, queries: string, keys: string, window: number | null): string {
  const from = graph.add('Unsqueeze', [queries, graph.int64([1])])
  const to = graph.add('Unsqueeze', [keys, graph.int64([0])])
  const later = graph.add('Greater', [to, from])
  const hidden = window === null ? later : graph.add('Or', [later, addTooEarly(graph, from, to, window)])
  return graph.add('Where', [hidden, graph.float(masked), graph.float(0)])
}

function addTooEarly(graph: OnnxGraph, from: string, to: string, window: number): string {
  return graph.add('LessOrEqual', [to, graph.add('Sub', [from, graph.int64(window)])])
}

/** The embedded tokens, [B, T, hidden]. */
export function addEmbedding(graph: OnnxGraph, { model, weights }: DecoderContext): string {
  const embedded = weights.gathered(graph, model.embedding, model.embedding.shape, 0, 'input_ids')
  const { embeddingScale } = model.config
  if (embeddingScale === 1) return embedded
  return graph.add('Mul', [embedded, castTo(graph, graph.float(embeddingScale), 'float', weights.computeType)])
}

export function addNorm(graph: OnnxGraph, context: DecoderContext, value: string, weight: TensorLocation): string {
  const { model, operators } = context
  return operators.norm(graph, value, addNormFactor(graph, context, weight), model.config.rmsNormEpsilon)
}

/** What a norm multiplies by: its weight, or 1 + its weight. */
export function addNormFactor(graph: OnnxGraph, { model, weights }: DecoderContext, weight: TensorLocation): string {
  const { normOffset } = model.config
  if (normOffset === 0) return weights.value(graph, weight)
  const factor = graph.add('Add', [weights.float(graph, weight), graph.float(normOffset)])
  return castTo(graph, factor, 'float', weights.computeType)
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
  const { operators, model, weights } = context
  const { attentionScale: scale, attentionSoftcap: softcap } = model.config
  const { headDim } = model.shape
  const heads = headsPerGroup(model.shape)
  const project = (weight: TensorLocation, bias: TensorLocation | null, norm: TensorLocation | null, rows: number) => {
    const projected = addUnitProjection(graph, context, normed, { weight, bias, rows, kept })
    return norm === null ? projected : addHeadNorm(graph, context, projected, norm)
  }
  const query = project(layer.q, layer.qBias, layer.qNorm, heads * headDim)
  const key = project(layer.k, layer.kBias, layer.kNorm, headDim)
  const value = project(layer.v, layer.vBias, null, headDim)
  return operators.attend(
    graph,
    context.sequenceOf(layer),
    { headsPerGroup: heads, headDim, scale, softcap, computeType: weights.computeType },
    query,
    key,
    value,
  )
}

/** activation(gate) * up of one layer, the input of down_proj, [B, T, C]; `kept` (int64 [C]) as in `addAttention`. */
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
  const activated = addActivation(graph, context, gate)
  return graph.add('Mul', [activated, project(layer.up, layer.upBias)])
}

function addActivation(graph: OnnxGraph, { model, operators, weights }: DecoderContext, value: string): string {
  switch (model.config.activation) {
    case 'silu':
      return operators.silu(graph, value, weights.computeType)
    case 'gelu_pytorch_tanh':
      return operators.gelu(graph, value)
  }
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
    const product = operators.project(graph, value, weights.value(graph, weight))
    return bias === null ? product : addBias(product, weights.value(graph, bias))
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
