import type { OnnxGraph } from '@espalier/tensor-files'
import type { DecoderContext } from './build-decoder.js'
import { castTo } from './compute-type.js'
import { evaluationInputs } from './evaluation-names.js'
import { addZeroColumns } from './fill-channels.js'
import type { TensorLocation } from './hugging-face-model.js'

/** Columns of o_proj or down_proj that a module multiplies with. */
export interface OutputColumns {
  /** Of the module. */
  readonly index: number
  /** o_proj or down_proj. */
  readonly output: TensorLocation
  /** Columns that one unit has. */
  readonly columns: number
  /** int64 [units kept] */
  readonly kept: string
  /** int64 [1]: columns of zeros that follow those of the kept units; null: never any. */
  readonly fill: string | null
}

/** What stands in for the kept columns, or they themselves, [hidden, kept x columns + fill]. */
export function addOutputWeight(graph: OnnxGraph, context: DecoderContext, wanted: OutputColumns): string {
  const { computeType } = context.weights
  const given = evaluationInputs.outputWeight(wanted.index)
  const isGiven = graph.add('Greater', [graph.add('Size', [given]), graph.int64(0)])
  const fitted = createBranch(graph, context, 'fitted', (branch) => {
    const weight =
      computeType === 'float' ? branch.add('Identity', [given]) : castTo(branch, given, 'float', computeType)
    return addFill(branch, context, weight, wanted.fill)
  })
  const stored = createBranch(graph, context, 'stored', (branch) => addStored(branch, context, wanted))
  return addChoice(graph, isGiven, fitted, stored)
}

/** What needs no zeros is not copied for them. */
function addStored(graph: OnnxGraph, context: DecoderContext, wanted: OutputColumns): string {
  const { fill } = wanted
  if (fill === null) return addStoredColumns(graph, context, wanted)
  const isFilled = graph.add('Squeeze', [graph.add('Greater', [fill, graph.int64([0])])])
  const filled = createBranch(graph, context, 'filled', (branch) =>
    addFill(branch, context, addStoredColumns(branch, context, wanted), fill),
  )
  const exact = createBranch(graph, context, 'exact', (branch) => addStoredColumns(branch, context, wanted))
  return addChoice(graph, isFilled, filled, exact)
}

function addStoredColumns(
  graph: OnnxGraph,
  { weights }: DecoderContext,
  { output, columns, kept }: OutputColumns,
): string {
  if (columns === 1) return weights.gathered(graph, output, output.shape, 1, kept)
  const [hidden = 0, inputs = 0] = output.shape
  const gathered = weights.gathered(graph, output, [hidden, inputs / columns, columns], 1, kept)
  return graph.add('Reshape', [gathered, graph.int64([hidden, -1])])
}

function addFill(graph: OnnxGraph, { model, weights }: DecoderContext, weight: string, fill: string | null): string {
  if (fill === null) return weight
  return addZeroColumns(graph, { weight, fill, rows: model.shape.hiddenSize, type: weights.computeType })
}

/** Gives one weight, [hidden, columns]. */
function createBranch(
  graph: OnnxGraph,
  { model, weights }: DecoderContext,
  name: string,
  add: (branch: OnnxGraph) => string,
): OnnxGraph {
  const branch = graph.createSubgraph(name)
  const weight = add(branch)
  branch.addOutput(weight, weights.computeType, [model.shape.hiddenSize, 'columns'], branch.createName('columns'))
  return branch
}

function addChoice(graph: OnnxGraph, condition: string, chosen: OnnxGraph, other: OnnxGraph): string {
  const weight = graph.createName('output_weight')
  graph.addNode({
    operator: 'If',
    inputs: [condition],
    outputs: [weight],
    attributes: { then_branch: { graph: chosen }, else_branch: { graph: other } },
  })
  return weight
}
