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
  /** [rows, columns up to the last row], sum x x^T of one module; only with `grams`. */
  gram: ({ module, firstRow }: Pick<GramBlock, 'module' | 'firstRow'>) => `gram_${module}_${firstRow}`,
} as const

/** Rows `firstRow` to before `endRow` of a module's Gram matrix, up to the diagonal. */
export interface GramBlock {
  readonly module: number
  readonly firstRow: number
  readonly endRow: number
}

export interface CalibrationGraphOptions {
  /** Default: beside `config.json`. */
  readonly locate?: LocateWeight
  /** What is given of the modules' Gram matrices too. */
  readonly grams?: readonly GramBlock[]
}

interface InputStatistics {
  readonly sum: string
  readonly squareSum: string
}

/**
 * The dense model up to its last layer, giving for every input channel of every o_proj and down_proj the sum and
 * the sum of squares over the tokens of the run, accumulated in double, and on demand blocks of the sum of x x^T. Input: `input_ids` int64 [B, T].
 */
export function buildCalibrationGraph(model: HuggingFaceModel, options: CalibrationGraphOptions = {}): Uint8Array {
  const graph = new OnnxGraph('calibration')
  const context = addDecoderContext(graph, model, fusedOperators, options.locate ?? locateInModel)
  const attention: InputStatistics[] = []
  const ffn: InputStatistics[] = []
  const blocksOf = (module: number) => (options.grams ?? []).filter((block) => block.module === module)
  let residual = addEmbedding(graph, context)
  const { layers, queryHeads, headDim, ffnChannels } = model.shape
  const headChannels = queryHeads * headDim
  for (const [index, layer] of model.layers.entries()) {
    const heads = addAttention(graph, context, layer, addNorm(graph, context, residual, layer.inputNorm), null)
    attention.push(addInputStatistics(graph, heads, headChannels, blocksOf(2 * index)))
    residual = addToResidual(graph, context, residual, heads, [layer.o, layer.oBias, layer.attentionOutputNorm])
    const normed = addNorm(graph, context, residual, layer.feedForwardNorm)
    const channels = addFeedForward(graph, context, layer, normed, null)
    ffn.push(addInputStatistics(graph, channels, ffnChannels, blocksOf(2 * index + 1)))
    residual = addToResidual(graph, context, residual, channels, [
      layer.down,
      layer.downBias,
      layer.feedForwardOutputNorm,
    ])
  }
  const declare = (rows: string[], width: number, name: string) =>
    graph.addOutput(graph.add('Concat', rows, { axis: 0 }), 'double', [layers, width], name)
  declare(
    attention.map((module) => module.sum),
    headChannels,
    calibrationOutputs.attentionSums,
  )
  declare(
    attention.map((module) => module.squareSum),
    headChannels,
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
  return graph.encodeModel(evaluationModelOptions)
}

/** Sum and sum of squares over B and T, each [1, width], and what is wanted of x^T x of the tokens. */
function addInputStatistics(
  graph: OnnxGraph,
  value: string,
  width: number,
  blocks: readonly GramBlock[],
): InputStatistics {
  const double = graph.add('Cast', [value], { to: { type: 'double' } })
  const total = (summand: string) => {
    const sum = graph.add('ReduceSum', [summand, graph.int64([0, 1])], { keepdims: 0 })
    return graph.add('Unsqueeze', [sum, graph.int64([0])])
  }
  const squareSum = total(graph.add('Mul', [double, double]))
  if (blocks.length > 0) {
    const tokens = graph.add('Flatten', [double], { axis: 2 })
    for (const block of blocks) addGramBlock(graph, tokens, width, block)
  }
  return { sum: total(double), squareSum }
}

/** Columns `firstRow` to `endRow` of the tokens against all up to `endRow`. */
function addGramBlock(graph: OnnxGraph, tokens: string, width: number, block: GramBlock): void {
  const { firstRow, endRow } = block
  const columns = (first: number, end: number) =>
    first === 0 && end === width
      ? tokens
      : graph.add('Slice', [tokens, graph.int64([first]), graph.int64([end]), graph.int64([1])])
  const product = graph.add('Gemm', [columns(firstRow, endRow), columns(0, endRow)], { transA: 1 })
  graph.addOutput(product, 'double', [endRow - firstRow, endRow], calibrationOutputs.gram(block))
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
