import type { KeptUnits, ModelShape } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from './prunable-model.js'
import type { KeptIndices } from './rank-units.js'

/** One row a module, one entry a unit: 1 kept, 0 removed. */
export type MaskMatrix = readonly Uint8Array[]

export function maskMatrix(model: PrunableModel, keptIndices: KeptIndices): MaskMatrix {
  return model.modules.map((module) => {
    const row = new Uint8Array(module.units)
    for (const unit of keptIndices[module.index] ?? []) row[unit] = 1
    return row
  })
}

export function keptUnitsOf(keptIndices: KeptIndices): KeptUnits {
  return keptIndices.map((indices) => indices.length)
}

/** Input channels of o_proj (attention: all query heads of each KV group) or down_proj (ffn) that the units feed. */
export function inputChannelsOf(
  shape: ModelShape,
  module: PruningModule,
  keptUnitIndices: readonly number[],
): Int32Array {
  const width = module.kind === 'attention' ? (shape.queryHeads / shape.kvHeads) * shape.headDim : 1
  const channels = new Int32Array(keptUnitIndices.length * width)
  keptUnitIndices.forEach((unit, position) => {
    for (let i = 0; i < width; i++) channels[position * width + i] = unit * width + i
  })
  return channels
}
