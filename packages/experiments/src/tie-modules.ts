import type { KeptUnits } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from '@espalier/pruning'

export interface TiedModel {
  /** With one layer for each block of neighbouring layers; a unit of it is that unit in all of them. */
  readonly model: PrunableModel
  /** Policy of the tied model -> policy of the whole one. */
  readonly expand: (kept: KeptUnits) => KeptUnits
}

/** A model whose neighbouring layers keep the same numbers of units. @param layers of a block; divides all layers */
export function tieModules(model: PrunableModel, layers: number): TiedModel {
  const blocks = model.layers / layers
  const modules = model.modules.slice(0, 2 * blocks).map(
    ({ index, layer, kind, units, parametersPerUnit }): PruningModule => ({
      ...{ index, layer, kind, units },
      parametersPerUnit: parametersPerUnit * layers,
    }),
  )
  return {
    model: { modules, layers: blocks, prunableParameters: model.prunableParameters },
    expand: (kept) => model.modules.map(({ layer, index }) => kept[2 * Math.floor(layer / layers) + (index % 2)] ?? 0),
  }
}
