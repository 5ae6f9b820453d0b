import { OnnxGraph } from '@espalier/tensor-files'
import {
  addAttention,
  addDecoderContext,
  addEmbedding,
  addFeedForward,
  addNorm,
  type DecoderContext,
} from './build-decoder.js'
import { evaluationModelOptions } from './build-evaluation-graph.js'
import { fusedOperators } from './build-fused-operators.js'
import { type LocateWeight, locateInModel } from './build-weights.js'
import type { HuggingFaceModel, TensorLocation } from './hugging-face-model.js'

/** Outputs of the calibration graph, double, one row a layer. */
export const calibrationOutputs = {
  /** [layers, queryHeads x headDim] */
  attentionSums: 'attention_sums',
  attentionSquareSums: 'attention_square_sums',
  /** [layers, ffnChannels] */
  ffnSums: 'ffn_sums',
  ffnSquareSums: 'ffn_square_sums',
  /** [width, width], sum x x^T of one module; only with `gram`. */
  gram: (module: number) => `gram_${module}`,
} as const

export interface CalibrationGraphOptions {
  /** Default: beside `config.json`. */
  readonly locate?: LocateWeight
  /** Whether every module's Gram matrix is given too. */
  readonly gram?: boolean
}

interface InputStatistics {
  readonly sum: string
  readonly squareSum: string
  /** [width, width]; null: not wanted. */
  readonly gram: string | null
}

/**
 * The dense model up to its last layer, giving for every input channel of every o_proj and down_proj the sum and
 * the sum of squares over the tokens of the run, accumulated in double, and on demand the sum of x x^T of every
 * module. Input: `input_ids` int64 [B, T].
 */
export function buildCalibrationGraph(model: HuggingFaceModel, options: CalibrationGraphOptions = {}): Uint8Array {
  const graph = new OnnxGraph('calibration')
  const context = addDecoderContext(graph, model, fusedOperators, options.locate ?? locateInModel)
  const attention: InputStatistics[] = []
  const ffn: InputStatistics[] = []
  const withGram = options.gram ?? false
  let residual = addEmbedding(graph, context)
  for (const layer of model.layers) {
    const heads = addAttention(graph, context, layer, addNorm(graph, context, residual, layer.inputNorm), null)
    attention.push(addInputStatistics(graph, heads, withGram))
    residual = addToResidual(graph, context, residual, heads, [layer.o, layer.oBias, layer.attentionOutputNorm])
    const normed = addNorm(graph, context, residual, layer.feedForwardNorm)
    const channels = addFeedForward(graph, context, layer, normed, null)
    ffn.push(addInputStatistics(graph, channels, withGram))
    residual = addToResidual(graph, context, residual, channels, [
      layer.down,
      layer.downBias,
      layer.feedForwardOutputNorm,
    ])
  }
  const { layers, queryHeads, headDim, ffnChannels } = model.shape
  const declare = (rows: string[], width: number, name: string) =>
    graph.addOutput(graph.add('Concat', rows, { axis: 0 }), 'double', [layers, width], name)
  declare(
    attention.map((module) => module.sum),
    queryHeads * headDim,
    calibrationOutputs.attentionSums,
  )
  declare(
    attention.map((module) => module.squareSum),
    queryHeads * headDim,
    calibrationOutputs.attentionSquareSums,
  )
  declare(
    ffn.map((module) => module.sum),
    ffnChannels,
    calibrationOutputs.ffnSums,
  )
  declare(
    ffn.map((module) => module.squareSum),
    ffnChannels,
    calibrationOutputs.ffnSquareSums,
  )
  const declareGram = (gram: string | null, module: number, width: number) => {
    if (gram !== null) graph.addOutput(gram, 'double', [width, width], calibrationOutputs.gram(module))
  }
  attention.forEach(({ gram }, layer) => {
    declareGram(gram, 2 * layer, queryHeads * headDim)
  })
  ffn.forEach(({ gram }, layer) => {
    declareGram(gram, 2 * layer + 1, ffnChannels)
  })
  return graph.encodeModel(evaluationModelOptions)
}

/** Sum and sum of squares over B and T, each [1, width], and x^T x of the tokens when it is wanted. */
function addInputStatistics(graph: OnnxGraph, value: string, withGram: boolean): InputStatistics {
  const double = graph.add('Cast', [value], { to: { type: 'double' } })
  const total = (summand: string) => {
    const sum = graph.add('ReduceSum', [summand, graph.int64([0, 1])], { keepdims: 0 })
    return graph.add('Unsqueeze', [sum, graph.int64([0])])
  }
  const squareSum = total(graph.add('Mul', [double, double]))
  if (!withGram) return { sum: total(double), squareSum, gram: null }
  const tokens = graph.add('Flatten', [double], { axis: 2 })
  return { sum: total(double), squareSum, gram: graph.add('Gemm', [tokens, tokens], { transA: 1 }) }
}

type OutputTensors = readonly [weight: TensorLocation, bias: TensorLocation | null, norm: TensorLocation | null]

function addToResidual(
  graph: OnnxGraph,
  context: DecoderContext,
  residual: string,
  inner: string,
  [weight, bias, norm]: OutputTensors,
): string {
  const { operators, weights } = context
  const product = operators.project(graph, inner, weights.float(graph, weight))
  const addBias = (value: string) => (bias === null ? value : graph.add('Add', [value, weights.float(graph, bias)]))
  if (norm === null) return addBias(graph.add('Add', [residual, product]))
  return graph.add('Add', [residual, addNorm(graph, context, addBias(product), norm)])
}
