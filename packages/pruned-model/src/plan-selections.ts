import { type HuggingFaceModel, type LayerTensors, listTensors, type TensorLocation } from '@espalier/model-graph'
import { createPrunableModel, inputChannelsOf, type KeptIndices, type PruningModule } from '@espalier/pruning'
import { type Selection, shapeOfSelection } from './select-elements.js'

/** A weight and what a policy leaves of it. */
export interface PlannedTensor {
  readonly tensor: TensorLocation
  /** null: all of it. */
  readonly selection: Selection | null
  /** Of what is left. */
  readonly shape: readonly number[]
}

/**
 * What a policy leaves of every weight. A KV group g is rows of q, k and v (and of their biases) and columns of o;
 * a channel is a row of gate and up (and of their biases) and a column of down. Biases of o and down stay: they do
 * not depend on what is removed.
 */
function planSelections(model: HuggingFaceModel, keptIndices: KeptIndices): ReadonlyMap<string, Selection> {
  const selections = new Map<string, Selection>()
  for (const module of createPrunableModel(model.shape).modules) {
    const layer = model.layers[module.layer]
    const kept = keptIndices[module.index]
    if (!layer || !kept || kept.length === module.units) continue
    for (const [tensor, selection] of selectionsOf(model, module, layer, kept)) {
      if (tensor) selections.set(tensor.name, selection)
    }
  }
  return selections
}

/** The same by the names in the files, where a tensor that several are rows of loses all that any of them loses. */
export function planStoredSelections(
  model: HuggingFaceModel,
  keptIndices: KeptIndices,
): ReadonlyMap<string, Selection> {
  const selections = planSelections(model, keptIndices)
  const changed = new Set(
    listTensors(model).flatMap(({ name, rowsOf }) => (selections.has(name) && rowsOf ? rowsOf.name : [])),
  )
  const keptRows = new Map<string, number[]>()
  for (const { name, shape, rowsOf } of listTensors(model)) {
    if (rowsOf === undefined || !changed.has(rowsOf.name)) continue
    const kept = selections.get(name)?.kept ?? Array.from({ length: shape[0] ?? 0 }, (_, row) => row)
    const rows = Array.from(kept, (row) => rowsOf.firstRow + row)
    keptRows.set(rowsOf.name, [...(keptRows.get(rowsOf.name) ?? []), ...rows])
  }
  const fused = [...keptRows].map(([name, rows]) => [name, { axis: 'rows', kept: Int32Array.from(rows) }] as const)
  return new Map([...selections, ...fused])
}

/** The tensors that a model without the removed units still computes with, in the order of the computation. */
export function planKeptTensors(model: HuggingFaceModel, keptIndices: KeptIndices): readonly PlannedTensor[] {
  const selections = planSelections(model, keptIndices)
  const unused = listUnusedNorms(model, keptIndices)
  return listTensors(model).flatMap((tensor) => {
    const selection = selections.get(tensor.name) ?? null
    if (selection?.kept.length === 0 || unused.has(tensor)) return []
    return [{ tensor, selection, shape: selection ? shapeOfSelection(tensor.shape, selection) : tensor.shape }]
  })
}

export function countParameters(tensors: readonly { readonly shape: readonly number[] }[]): number {
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0)
}

/** Norms whose output nothing reads because their module is gone; compensation still goes through those after it. */
function listUnusedNorms(model: HuggingFaceModel, keptIndices: KeptIndices): ReadonlySet<TensorLocation | null> {
  const isGone = (module: number) => keptIndices[module]?.length === 0
  const unused = model.layers.flatMap((layer, index) => [
    ...(isGone(2 * index) ? [layer.inputNorm, layer.qNorm, layer.kNorm] : []),
    ...(isGone(2 * index + 1) ? [layer.feedForwardNorm] : []),
  ])
  return new Set(unused)
}

function selectionsOf(
  { shape }: HuggingFaceModel,
  module: PruningModule,
  layer: LayerTensors,
  kept: readonly number[],
): readonly (readonly [TensorLocation | null, Selection])[] {
  const inputs = inputChannelsOf(shape, module, kept)
  const rows: Selection = { axis: 'rows', kept: inputs }
  const columns: Selection = { axis: 'columns', kept: inputs }
  const all = (selection: Selection, tensors: readonly (TensorLocation | null)[]) =>
    tensors.map((tensor) => [tensor, selection] as const)
  if (module.kind === 'ffn') {
    return [...all(rows, [layer.gate, layer.gateBias, layer.up, layer.upBias]), [layer.down, columns]]
  }
  const keyRows = kept.flatMap((group) => Array.from({ length: shape.headDim }, (_, i) => group * shape.headDim + i))
  const keyValue: Selection = { axis: 'rows', kept: Int32Array.from(keyRows) }
  return [
    ...all(rows, [layer.q, layer.qBias]),
    ...all(keyValue, [layer.k, layer.kBias, layer.v, layer.vBias]),
    [layer.o, columns],
  ]
}
