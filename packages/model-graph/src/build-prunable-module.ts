import type { OnnxGraph } from '@espalier/tensor-files'
import {
  addAttention,
  addFeedForward,
  addNorm,
  addNormFactor,
  type DecoderContext,
  headsPerGroup,
} from './build-decoder.js'
import { contribDomain } from './build-operators.js'
import { addOutputWeight } from './build-output-weight.js'
import { type ComputeType, castTo } from './compute-type.js'
import { evaluationInputs } from './evaluation-names.js'
import { addFilledChannels } from './fill-channels.js'
import type { HuggingFaceModel, LayerTensors, TensorLocation } from './hugging-face-model.js'

/** A feed-forward or attention block, whose units a policy chooses. */
export interface PrunableModule {
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
  /** What the number of units in products is filled up to a multiple of (see `fill-channels.ts`). */
  readonly filledTo: number
  addInner(graph: OnnxGraph, context: DecoderContext, normed: string, kept: string): string
}

/** The two modules of a layer. */
export function describeModules(
  model: HuggingFaceModel,
  layer: LayerTensors,
  index: number,
  fillChannelsTo: number,
): PrunableModule[] {
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
      filledTo: 1,
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
      filledTo: fillChannelsTo,
      addInner: (graph, context, normed, kept) => addFeedForward(graph, context, layer, normed, kept),
    },
  ]
}

/** What a module reads: the residual stream, and it normalised; both [B, T, hidden]. */
export interface Stream {
  readonly residual: string
  readonly normed: string
}

/** What follows the module. */
export function addComputedModule(
  graph: OnnxGraph,
  context: DecoderContext,
  module: PrunableModule,
  stream: Stream,
): Stream {
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
  const filled = module.filledTo === 1 ? null : addFilledChannels(present, kept, module.filledTo)
  const units = filled?.channels ?? kept
  const inner = module.addInner(present, context, normed, units)
  const weight = addOutputWeight(present, context, { ...module, kept, fill: filled?.fill ?? null })
  const means = castTo(present, addKeptMeans(present, module, units), 'float', computeType)
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
export function addZeros(graph: OnnxGraph, value: string, type: ComputeType): string {
  return graph.add('Expand', [castTo(graph, graph.float(0), 'float', type), graph.add('Shape', [value])])
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
export function addResidualNorm(
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
