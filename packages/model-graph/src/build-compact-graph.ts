import { OnnxGraph } from '@espalier/tensor-files'
import {
  addAttention,
  addDecoderContext,
  addEmbedding,
  addFeedForward,
  addNorm,
  type DecoderContext,
} from './build-decoder.js'
import { addSoftcap } from './build-operators.js'
import { standardOperators } from './build-standard-operators.js'
import type { LocateWeight } from './build-weights.js'
import type { HuggingFaceModel, LayerTensors, TensorLocation } from './hugging-face-model.js'

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
  let residual = addEmbedding(graph, context)
  model.layers.forEach((layer, index) => {
    describeModules(layer).forEach((tensors, kind) => {
      const module = 2 * index + kind
      const isKept = (options.kept[module] ?? 0) > 0
      const output = isKept ? addModule(graph, context, layer, tensors, residual) : null
      const biases = [tensors.bias, options.compensation[module] ?? null]
      residual = addToResidual(graph, context, residual, output, biases, tensors.outputNorm)
    })
  })
  const logits = addLogits(graph, context, addNorm(graph, context, residual, model.finalNorm))
  graph.addOutput(logits, 'float', ['batch', 'sequence', model.shape.vocabularySize], 'logits')
  return graph.encodeModel(compactModelOptions)
}

interface ModuleTensors {
  readonly norm: TensorLocation
  readonly output: TensorLocation
  readonly bias: TensorLocation | null
  readonly outputNorm: TensorLocation | null
  readonly addInner: typeof addAttention
}

function describeModules(layer: LayerTensors): readonly ModuleTensors[] {
  const { inputNorm, o, oBias, attentionOutputNorm, feedForwardNorm, down, downBias, feedForwardOutputNorm } = layer
  return [
    { norm: inputNorm, output: o, bias: oBias, outputNorm: attentionOutputNorm, addInner: addAttention },
    {
      norm: feedForwardNorm,
      output: down,
      bias: downBias,
      outputNorm: feedForwardOutputNorm,
      addInner: addFeedForward,
    },
  ]
}

/** The output of a module without its biases, [B, T, hidden]. */
function addModule(
  graph: OnnxGraph,
  context: DecoderContext,
  layer: LayerTensors,
  { norm, output, addInner }: ModuleTensors,
  residual: string,
): string {
  const inner = addInner(graph, context, layer, addNorm(graph, context, residual, norm), null)
  return standardOperators.project(graph, inner, context.weights.float(graph, output))
}

/** residual + output + biases, or residual + norm(output + biases), where the norm of nothing is nothing. */
function addToResidual(
  graph: OnnxGraph,
  context: DecoderContext,
  residual: string,
  output: string | null,
  biases: readonly (TensorLocation | null)[],
  norm: TensorLocation | null,
): string {
  const plus = (sum: string | null, value: string) => (sum === null ? value : graph.add('Add', [sum, value]))
  const plusBiases = (start: string | null) =>
    biases.filter((bias) => bias !== null).reduce((sum, bias) => plus(sum, context.weights.float(graph, bias)), start)
  if (norm === null) return plusBiases(output === null ? residual : plus(residual, output)) ?? residual
  const sum = plusBiases(output)
  return sum === null ? residual : plus(residual, addNorm(graph, context, sum, norm))
}

function addLogits(graph: OnnxGraph, context: DecoderContext, normed: string): string {
  const { outputHead, config } = context.model
  const logits = standardOperators.project(graph, normed, context.weights.float(graph, outputHead))
  return config.logitSoftcap === null ? logits : addSoftcap(graph, logits, config.logitSoftcap)
}
