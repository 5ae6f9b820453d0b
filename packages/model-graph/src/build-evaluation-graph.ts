import type { Precision, WeightPrecision } from '@espalier/contracts'
import { OnnxGraph } from '@espalier/tensor-files'
import { addDecoderContext, addEmbedding, addNorm, type DecoderContext } from './build-decoder.js'
import { fusedOperators } from './build-fused-operators.js'
import { addTokenLikelihood } from './build-likelihood.js'
import { contribDomain } from './build-operators.js'
import {
  addComputedModule,
  addResidualNorm,
  addZeros,
  describeModules,
  type PrunableModule,
  type Stream,
} from './build-prunable-module.js'
import { type LocateWeight, locateInModel } from './build-weights.js'
import { castTo, computeTypeOf } from './compute-type.js'
import { evaluationInputs, evaluationOutputs } from './evaluation-names.js'
import type { HuggingFaceModel } from './hugging-face-model.js'

/** Standard operators' version and producer of the graphs that Espalier itself runs. */
export const evaluationModelOptions = { opset: 21, domains: { [contribDomain]: 1 }, producer: 'espalier' } as const

/** Logits that exist at a time: 17 MB as float, and as much for each of the few values that are made from them. */
const defaultMaxLogits = 2 ** 22

export interface EvaluationGraphOptions {
  /** Default: beside `config.json`. */
  readonly locate?: LocateWeight
  /** Default: `stored`. */
  readonly weights?: WeightPrecision
  /** Logits that exist at a time; default: 2 ** 22. */
  readonly maxLogits?: number
  /** Whether a run can start from a state and give states; `false`: there are no inputs and outputs for that. Default: true. */
  readonly resumable?: boolean
  /** Of products and of what flows between them; inputs and outputs are float in any case. Default: fp32. */
  readonly precision?: Precision
  /** What the number of feed-forward channels in products is filled up to a multiple of, by zeros; default: 1. */
  readonly fillChannelsTo?: number
}

/**
 * One graph that measures any policy of a model: the policy is an input, the likelihood is computed inside.
 *
 * Inputs: `evaluationInputs`. Outputs: `evaluationOutputs`, above all the negative log-likelihood of every
 * next token.
 * A module with no kept unit is skipped. Mean compensation of module m adds
 * W[:, removed] E[x[removed]] = W E[x] - W[:, kept] E[x[kept]] to its output; with an `outputWeight` W' in place of
 * W[:, kept] it adds W E[x] - W' E[x[kept]], the bias of least-squares compensation.
 * The model's own bias of o_proj or down_proj always stays.
 *
 * Policies that agree on their first modules need these computed once: a run gives the state before a module, and
 * another run starts from it. The likelihoods are the same to the bit.
 */
export function buildEvaluationGraph(model: HuggingFaceModel, options: EvaluationGraphOptions = {}): Uint8Array {
  const graph = new OnnxGraph('evaluation')
  const computeType = computeTypeOf[options.precision ?? 'fp32']
  const context = addDecoderContext(
    graph,
    model,
    fusedOperators,
    options.locate ?? locateInModel,
    computeType,
    options.weights,
  )
  const { resumable = true, fillChannelsTo = 1 } = options
  addPolicyInputs(graph, model)
  if (resumable) addStateInputs(graph, model)
  const modules = model.layers.flatMap((layer, index) => describeModules(model, layer, index, fillChannelsTo))
  const embedded = addEmbedding(graph, context)
  let stream: Stream = { residual: embedded, normed: embedded }
  for (const module of modules) {
    if (module.index === 0) stream = { residual: embedded, normed: addNorm(graph, context, embedded, module.norm) }
    stream = resumable
      ? addResumableModule(graph, context, module, stream)
      : addComputedModule(graph, context, module, stream)
  }
  const { referenceHidden } = evaluationInputs
  graph.addInput(referenceHidden, 'float', ['references', model.shape.hiddenSize])
  const normed = castTo(graph, stream.normed, computeType, 'float')
  addTokenLikelihood(graph, context, normed, referenceHidden, options.maxLogits ?? defaultMaxLogits)
  return graph.encodeModel(evaluationModelOptions)
}

function addPolicyInputs(graph: OnnxGraph, { shape }: HuggingFaceModel): void {
  for (let module = 0; module < 2 * shape.layers; module++) {
    graph.addInput(evaluationInputs.kept(module), 'int64', [`units_${module}`])
    graph.addInput(evaluationInputs.outputWeight(module), 'float', [shape.hiddenSize, `fitted_${module}`])
  }
  graph.addInput(evaluationInputs.attentionMeans, 'float', [shape.layers, shape.queryHeads * shape.headDim])
  graph.addInput(evaluationInputs.ffnMeans, 'float', [shape.layers, shape.ffnChannels])
  graph.addInput(evaluationInputs.outputMeans, 'float', [2 * shape.layers, shape.hiddenSize])
}

function addStateInputs(graph: OnnxGraph, { shape }: HuggingFaceModel): void {
  graph.addInput(evaluationInputs.firstModule, 'int64', [])
  graph.addInput(evaluationInputs.resumedState, 'float', ['resumed', 'sequence', shape.hiddenSize])
  graph.addInput(evaluationInputs.stateWindows, 'int64', [2 * shape.layers])
}

/** Gives the state before a module. */
function addStateOutput(
  graph: OnnxGraph,
  { model, weights }: DecoderContext,
  { index }: PrunableModule,
  stream: Stream,
): string {
  const windows = graph.add('Gather', [evaluationInputs.stateWindows, graph.int64([index])], { axis: 0 })
  const state = graph.add('Slice', [stream.residual, graph.int64([0]), windows, graph.int64([0])])
  const dimensions = [`windows_${index}`, 'sequence', model.shape.hiddenSize]
  const given = castTo(graph, state, weights.computeType, 'float')
  graph.addOutput(given, 'float', dimensions, evaluationOutputs.state(index))
  return given
}

/**
 * The module behind an `If` on whether it is computed in this run. What is skipped hands out no windows, except right
 * before the first module that is computed: there it is the resumed state.
 */
function addResumableModule(graph: OnnxGraph, context: DecoderContext, module: PrunableModule, stream: Stream): Stream {
  const { hiddenSize } = context.model.shape
  const { firstModule, resumedState } = evaluationInputs
  const { computeType } = context.weights
  const next = graph.int64(module.index + 1)
  // A name of its own: values with dimensions of the same names share memory, and here some have no windows.
  const dimensions = [`windows_after_${module.index}`, 'sequence', hiddenSize]
  const declareOutputs = (branch: OnnxGraph, { residual, normed }: Stream) => {
    branch.addOutput(residual, computeType, dimensions, branch.createName('branch_residual'))
    branch.addOutput(normed, computeType, dimensions, branch.createName('branch_normed'))
  }

  const computed = graph.createSubgraph('computed')
  declareOutputs(computed, addComputedModule(computed, context, module, stream))

  const skipped = graph.createSubgraph('skipped')
  const isNext = skipped.add('Cast', [skipped.add('Equal', [firstModule, next])], { to: { type: 'int64' } })
  const windows = skipped.add('Mul', [isNext, skipped.add('Shape', [resumedState], { start: 0, end: 1 })])
  const state = skipped.add('Slice', [resumedState, graph.int64([0]), windows, graph.int64([0])])
  const resumed = castTo(skipped, state, 'float', computeType)
  // By the operator that normed it when it was computed: the sum with nothing is itself, and so is its norm.
  const nothing = { value: addZeros(skipped, resumed, computeType), bias: null }
  declareOutputs(skipped, addResidualNorm(skipped, context, resumed, nothing, module.nextNorm))

  const residual = graph.createName('residual')
  const normed = graph.createName('normed')
  const isComputed = graph.add('Less', [firstModule, next])
  graph.addNode({
    operator: 'If',
    inputs: [module.index === 0 ? isComputed : addStateFirst(graph, context, module, stream, isComputed)],
    outputs: [residual, normed],
    attributes: { then_branch: { graph: computed }, else_branch: { graph: skipped } },
  })
  return { residual, normed }
}

/**
 * The condition, true or false as it is, once the state before the module has been given. ONNX Runtime would else give
 * all states at the end of a run and keep the residual stream before every module until then.
 */
function addStateFirst(
  graph: OnnxGraph,
  context: DecoderContext,
  module: PrunableModule,
  stream: Stream,
  condition: string,
): string {
  const state = addStateOutput(graph, context, module, stream)
  const windows = graph.add('Shape', [state], { start: 0, end: 1 })
  const isGiven = graph.add('GreaterOrEqual', [windows, graph.int64([0])])
  return graph.add('And', [condition, graph.add('Squeeze', [isGiven])])
}
