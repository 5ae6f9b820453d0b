import type { Precision } from '@espalier/contracts'
import { OnnxGraph } from '@espalier/tensor-files'
import {
  addAttention,
  addDecoderContext,
  addEmbedding,
  addFeedForward,
  addNorm,
  addNormFactor,
  type DecoderContext,
  headsPerGroup,
} from './build-decoder.js'
import { fusedOperators } from './build-fused-operators.js'
import { addTokenLikelihood } from './build-likelihood.js'
import { contribDomain } from './build-operators.js'
import { type LocateWeight, locateInModel, type WeightPrecision } from './build-weights.js'
import { type ComputeType, castTo, computeTypeOf } from './compute-type.js'
import type { HuggingFaceModel, LayerTensors, TensorLocation } from './hugging-face-model.js'

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
}

/** Names of the inputs of the evaluation graph; module order as everywhere. */
export const evaluationInputs = {
  /** int64 [B, T] */
  ids: 'input_ids',
  /** int64 [units kept], sorted. */
  kept: (module: number) => `kept_${module}`,
  /** float [hidden, input channels kept]: stands in for the kept columns of o_proj or down_proj; no columns: they stay. */
  outputWeight: (module: number) => `output_weight_${module}`,
  /** float [layers, queryHeads x headDim]: mean input of o_proj over the calibration tokens; zeros: no compensation. */
  attentionMeans: 'attention_means',
  /** float [layers, ffnChannels]: the same for down_proj. */
  ffnMeans: 'ffn_means',
  /** float [2 x layers, hidden]: W times the mean input; zeros: no compensation. */
  outputMeans: 'output_means',
  /** float [B x (T - 1), hidden]: `hidden` of the model that `kl` and `agrees` compare with; no rows: no comparison. */
  referenceHidden: 'reference_hidden',
  /** int64 []: the first module that is computed. */
  firstModule: 'first_module',
  /** float [B, T, hidden]: the state before `firstModule`, see `evaluationOutputs`; no windows if that is 0. */
  resumedState: 'resumed_state',
  /** int64 [2 x layers]: of how many windows the state before each module is wanted, all B or none. */
  stateWindows: 'state_windows',
} as const

/** Names of the outputs of the evaluation graph; one value a predicted token, B x (T - 1), see `addTokenLikelihood`. */
export const evaluationOutputs = {
  nll: 'nll',
  hidden: 'hidden',
  kl: 'kl',
  agrees: 'agrees',
  /** float [windows wanted, T, hidden]: the residual stream before a module; there is none of module 0. */
  state: (module: number) => `state_${module}`,
} as const

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
  const { resumable = true } = options
  addPolicyInputs(graph, model)
  if (resumable) addStateInputs(graph, model)
  const modules = model.layers.flatMap((layer, index) => describeModules(model, layer, index))
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

interface PrunableModule {
  readonly index: number
  readonly layer: number
  readonly norm: TensorLocation
  /** Norm of the module after it, or the last one. */
  readonly nextNorm: TensorLocation
  /** Norm of the module's output, bias and compensation included. */
  readonly outputNorm: TensorLocation | null
  /** o_proj or down_proj. */
  readonly output: TensorLocation
  readonly outputBias: TensorLocation | null
  /** Input columns of `output` that one unit has. */
  readonly columns: number
  readonly means: string
  addInner(graph: OnnxGraph, context: DecoderContext, normed: string, kept: string): string
}

function describeModules(model: HuggingFaceModel, layer: LayerTensors, index: number): PrunableModule[] {
  return [
    {
      index: 2 * index,
      layer: index,
      norm: layer.inputNorm,
      nextNorm: layer.feedForwardNorm,
      outputNorm: layer.attentionOutputNorm,
      output: layer.o,
      outputBias: layer.oBias,
      columns: headsPerGroup(model.shape) * model.shape.headDim,
      means: evaluationInputs.attentionMeans,
      addInner: (graph, context, normed, kept) => addAttention(graph, context, layer, normed, kept),
    },
    {
      index: 2 * index + 1,
      layer: index,
      norm: layer.feedForwardNorm,
      nextNorm: model.layers[index + 1]?.inputNorm ?? model.finalNorm,
      outputNorm: layer.feedForwardOutputNorm,
      output: layer.down,
      outputBias: layer.downBias,
      columns: 1,
      means: evaluationInputs.ffnMeans,
      addInner: (graph, context, normed, kept) => addFeedForward(graph, context, layer, normed, kept),
    },
  ]
}

/** What a module reads: the residual stream, and it normalised; both [B, T, hidden]. */
interface Stream {
  readonly residual: string
  readonly normed: string
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

function addComputedModule(graph: OnnxGraph, context: DecoderContext, module: PrunableModule, stream: Stream): Stream {
  const output = addPrunableModule(graph, context, module, stream)
  return addResidualNorm(graph, context, stream.residual, output, module.nextNorm)
}

interface ModuleOutput {
  /** [B, T, hidden] */
  readonly value: string
  /** [hidden]; null: it is in the value. */
  readonly bias: string | null
}

/** The module behind an `If` on whether it keeps anything. */
function addPrunableModule(
  graph: OnnxGraph,
  context: DecoderContext,
  module: PrunableModule,
  { normed, residual }: Stream,
): ModuleOutput {
  const { hiddenSize } = context.model.shape
  const { computeType } = context.weights
  const kept = evaluationInputs.kept(module.index)
  const anyKept = graph.add('Greater', [graph.add('Size', [kept]), graph.int64(0)])
  const declareOutputs = (branch: OnnxGraph, value: string, bias: string) => {
    const rounded = castTo(branch, bias, 'float', computeType)
    branch.addOutput(value, computeType, ['batch', 'sequence', hiddenSize], branch.createName('module_value'))
    branch.addOutput(rounded, computeType, [hiddenSize], branch.createName('module_bias'))
  }

  const present = graph.createSubgraph('present')
  const inner = module.addInner(present, context, normed, kept)
  const weight = addOutputWeight(present, context, module, kept)
  const means = castTo(present, addKeptMeans(present, module, kept), 'float', computeType)
  const product = present.add('Squeeze', [context.operators.project(present, means, weight), present.int64([0])])
  const keptMean = castTo(present, product, computeType, 'float')
  const removedMean = present.add('Sub', [addOutputMean(present, module), keptMean])
  declareOutputs(
    present,
    context.operators.project(present, inner, weight),
    addModelBias(present, context, removedMean, module.outputBias),
  )

  const absent = graph.createSubgraph('absent')
  declareOutputs(
    absent,
    addZeros(absent, residual, computeType),
    addModelBias(absent, context, addOutputMean(absent, module), module.outputBias),
  )

  const value = graph.createName('module')
  const bias = graph.createName('bias')
  graph.addNode({
    operator: 'If',
    inputs: [anyKept],
    outputs: [value, bias],
    attributes: { then_branch: { graph: present }, else_branch: { graph: absent } },
  })
  if (module.outputNorm === null) return { value, bias }
  return { value: addNorm(graph, context, graph.add('Add', [value, bias]), module.outputNorm), bias: null }
}

/** Zeros in the shape of a value. */
function addZeros(graph: OnnxGraph, value: string, type: ComputeType): string {
  return graph.add('Expand', [castTo(graph, graph.float(0), 'float', type), graph.add('Shape', [value])])
}

/** What stands in for the kept columns of o_proj or down_proj, or they themselves, [hidden, kept x columns]. */
function addOutputWeight(graph: OnnxGraph, context: DecoderContext, module: PrunableModule, kept: string): string {
  const given = evaluationInputs.outputWeight(module.index)
  const isGiven = graph.add('Greater', [graph.add('Size', [given]), graph.int64(0)])
  const declareOutput = (branch: OnnxGraph, value: string) => {
    branch.addOutput(
      value,
      context.weights.computeType,
      [context.model.shape.hiddenSize, 'columns'],
      branch.createName('columns'),
    )
  }
  const fitted = graph.createSubgraph('fitted')
  const { computeType } = context.weights
  declareOutput(
    fitted,
    computeType === 'float' ? fitted.add('Identity', [given]) : castTo(fitted, given, 'float', computeType),
  )
  const stored = graph.createSubgraph('stored')
  declareOutput(stored, addStoredColumns(stored, context, module, kept))
  const weight = graph.createName('output_weight')
  graph.addNode({
    operator: 'If',
    inputs: [isGiven],
    outputs: [weight],
    attributes: { then_branch: { graph: fitted }, else_branch: { graph: stored } },
  })
  return weight
}

function addStoredColumns(
  graph: OnnxGraph,
  { weights }: DecoderContext,
  { output, columns }: PrunableModule,
  kept: string,
): string {
  if (columns === 1) return weights.gathered(graph, output, output.shape, 1, kept)
  const [hidden = 0, inputs = 0] = output.shape
  const gathered = weights.gathered(graph, output, [hidden, inputs / columns, columns], 1, kept)
  return graph.add('Reshape', [gathered, graph.int64([hidden, -1])])
}

/** Mean inputs of the kept units, [1, kept x columns]. */
function addKeptMeans(graph: OnnxGraph, module: PrunableModule, kept: string): string {
  const row = graph.add('Gather', [module.means, graph.int64([module.layer])], { axis: 0 })
  if (module.columns === 1) return graph.add('Gather', [row, kept], { axis: 1 })
  const units = graph.add('Reshape', [row, graph.int64([1, -1, module.columns])])
  return graph.add('Reshape', [graph.add('Gather', [units, kept], { axis: 1 }), graph.int64([1, -1])])
}

function addOutputMean(graph: OnnxGraph, module: PrunableModule): string {
  return graph.add('Gather', [evaluationInputs.outputMeans, graph.int64(module.index)], { axis: 0 })
}

function addModelBias(graph: OnnxGraph, context: DecoderContext, value: string, bias: TensorLocation | null): string {
  return bias === null ? value : graph.add('Add', [value, context.weights.float(graph, bias)])
}

/** Adds a module's output to the residual stream and normalises, in one pass over memory. */
function addResidualNorm(
  graph: OnnxGraph,
  context: DecoderContext,
  residual: string,
  output: ModuleOutput,
  norm: TensorLocation,
): Stream {
  const normed = graph.createName('normed')
  const sum = graph.createName('residual')
  graph.addNode({
    operator: 'SkipSimplifiedLayerNormalization',
    domain: contribDomain,
    inputs: [
      residual,
      output.value,
      addNormFactor(graph, context, norm),
      ...(output.bias === null ? [] : [output.bias]),
    ],
    outputs: [normed, '', '', sum],
    attributes: { epsilon: { float: context.model.config.rmsNormEpsilon } },
  })
  return { residual: sum, normed }
}
