import { OnnxGraph } from '@espalier/tensor-files'
import {
  addAttention,
  addDecoderContext,
  addEmbedding,
  addFeedForward,
  addNorm,
  type DecoderContext,
} from './build-decoder.js'
import { standardOperators } from './build-standard-operators.js'
import type { LocateWeight } from './build-weights.js'
import type { HuggingFaceModel, TensorLocation } from './hugging-face-model.js'

/** Operators and file version of 2022: everything that runs ONNX today reads them. */
const compactModelOptions = { opset: 17, irVersion: 8, producer: 'espalier' } as const

export interface CompactGraphOptions {
  /** Units kept of every module; a module with none has no weights in the graph. */
  readonly kept: readonly number[]
  /** Where the kept rows or columns of a weight lie, and the shape they have there. */
  readonly locate: LocateWeight
  /** What is added to the output of every module beside its own bias, [hidden]; null: nothing. */
  readonly compensation: readonly (TensorLocation | null)[]
}

/**
 * A pruned model with fixed masks: only the kept weights, standard ONNX operators alone.
 * Input `input_ids` int64 [batch, sequence]; output `logits` float [batch, sequence, vocabulary].
 */
export function buildCompactGraph(model: HuggingFaceModel, options: CompactGraphOptions): Uint8Array {
  const graph = new OnnxGraph('pruned')
  const context = addDecoderContext(graph, model, standardOperators, options.locate)
  const isKept = (module: number) => (options.kept[module] ?? 0) > 0
  let residual = addEmbedding(graph, context)
  model.layers.forEach((layer, index) => {
    const [attention, ffn] = [2 * index, 2 * index + 1]
    if (isKept(attention)) {
      const heads = addAttention(graph, context, layer, addNorm(graph, context, residual, layer.inputNorm), null)
      residual = addProjected(graph, context, residual, heads, layer.o)
    }
    residual = addBiases(graph, context, residual, [layer.oBias, options.compensation[attention] ?? null])
    if (isKept(ffn)) {
      const normed = addNorm(graph, context, residual, layer.postAttentionNorm)
      const channels = addFeedForward(graph, context, layer, normed, null)
      residual = addProjected(graph, context, residual, channels, layer.down)
    }
    residual = addBiases(graph, context, residual, [layer.downBias, options.compensation[ffn] ?? null])
  })
  const normed = addNorm(graph, context, residual, model.finalNorm)
  const logits = standardOperators.project(graph, normed, context.weights.float(graph, model.outputHead))
  graph.addOutput(logits, 'float', ['batch', 'sequence', model.shape.vocabularySize], 'logits')
  return graph.encodeModel(compactModelOptions)
}

function addProjected(
  graph: OnnxGraph,
  { weights }: DecoderContext,
  residual: string,
  inner: string,
  weight: TensorLocation,
): string {
  return graph.add('Add', [residual, standardOperators.project(graph, inner, weights.float(graph, weight))])
}

function addBiases(
  graph: OnnxGraph,
  { weights }: DecoderContext,
  residual: string,
  biases: readonly (TensorLocation | null)[],
): string {
  return biases
    .filter((bias) => bias !== null)
    .reduce((sum, bias) => graph.add('Add', [sum, weights.float(graph, bias)]), residual)
}
