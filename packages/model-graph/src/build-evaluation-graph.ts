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
} as const

/** Names of its outputs, one value a predicted token, B x (T - 1); see `addTokenLikelihood`. */
export const evaluationOutputs = { nll: 'nll', hidden: 'hidden', kl: 'kl', agrees: 'agrees' } as const

/**
 * One graph that measures any policy of a model: the policy is an input, the likelihood is computed inside.
 *
 * Inputs: `evaluationInputs`. Outputs: `evaluationOutputs`, above all the negative log-likelihood of every
 * next token.
 * A module with no kept unit is skipped. Mean compensation of module m adds
 * W[:, removed] E[x[removed]] = W E[x] - W[:, kept] E[x[kept]] to its output; with an `outputWeight` W' in place of
 * W[:, kept] it adds W E[x] - W' E[x[kept]], the bias of least-squares compensation.
 * The model's own bias of o_proj or down_proj always stays.
 */
export function buildEvaluationGraph(model: HuggingFaceModel, options: EvaluationGraphOptions = {}): Uint8Array {
  const graph = new OnnxGraph('evaluation')
  const context = addDecoderContext(graph, model, fusedOperators, options.locate ?? locateInModel, options.weights)
  addPolicyInputs(graph, model)
  let residual = addEmbedding(graph, context)
  let normed = ''
  let pending: ModuleOutput | null = null
  const enter = (norm: TensorLocation) => {
    if (pending === null) normed = addNorm(graph, context, residual, norm)
    else [normed, residual] = addResidualNorm(graph, context, residual, pending, norm)
  }
  model.layers.forEach((layer, index) => {
    for (const module of describeModules(model, layer, index)) {
      enter(module.norm)
      pending = addPrunableModule(graph, context, module, normed, residual)
    }
  })
  enter(model.finalNorm)
  const { referenceHidden } = evaluationInputs
  graph.addInput(referenceHidden, 'float', ['references', model.shape.hiddenSize])
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

interface PrunableModule {
  readonly index: number
  readonly layer: number
  readonly norm: TensorLocation
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
      outputNorm: layer.feedForwardOutputNorm,
      output: layer.down,
      outputBias: layer.downBias,
      columns: 1,
      means: evaluationInputs.ffnMeans,
      addInner: (graph, context, normed, kept) => addFeedForward(graph, context, layer, normed, kept),
    },
  ]
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
  normed: string,
  residual: string,
): ModuleOutput {
  const { hiddenSize } = context.model.shape
  const kept = evaluationInputs.kept(module.index)
  const anyKept = graph.add('Greater', [graph.add('Size', [kept]), graph.int64(0)])
  const declareOutputs = (branch: OnnxGraph, value: string, bias: string) => {
    branch.addOutput(value, 'float', ['batch', 'sequence', hiddenSize], branch.createName('module_value'))
    branch.addOutput(bias, 'float', [hiddenSize], branch.createName('module_bias'))
  }

  const present = graph.createSubgraph('present')
  const inner = module.addInner(present, context, normed, kept)
  const weight = addOutputWeight(present, context, module, kept)
  const keptMean = present.add('Squeeze', [
    context.operators.project(present, addKeptMeans(present, module, kept), weight),
    present.int64([0]),
  ])
  const removedMean = present.add('Sub', [addOutputMean(present, module), keptMean])
  declareOutputs(
    present,
    context.operators.project(present, inner, weight),
    addModelBias(present, context, removedMean, module.outputBias),
  )

  const absent = graph.createSubgraph('absent')
  const zeros = absent.add('Expand', [absent.float(0), absent.add('Shape', [residual])])
  declareOutputs(absent, zeros, addModelBias(absent, context, addOutputMean(absent, module), module.outputBias))

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

/** What stands in for the kept columns of o_proj or down_proj, or they themselves, [hidden, kept x columns] float. */
function addOutputWeight(graph: OnnxGraph, context: DecoderContext, module: PrunableModule, kept: string): string {
  const given = evaluationInputs.outputWeight(module.index)
  const isGiven = graph.add('Greater', [graph.add('Size', [given]), graph.int64(0)])
  const declareOutput = (branch: OnnxGraph, value: string) => {
    branch.addOutput(value, 'float', [context.model.shape.hiddenSize, 'columns'], branch.createName('columns'))
  }
  const fitted = graph.createSubgraph('fitted')
  declareOutput(fitted, fitted.add('Identity', [given]))
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

/** Adds a module's output to the residual stream and normalises: [normed, residual], in one pass over memory. */
function addResidualNorm(
  graph: OnnxGraph,
  context: DecoderContext,
  residual: string,
  output: ModuleOutput,
  norm: TensorLocation,
): [string, string] {
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
  return [normed, sum]
}
