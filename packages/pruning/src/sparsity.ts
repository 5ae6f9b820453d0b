import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { nameOfModule, type PrunableModel } from './prunable-model.js'

/** Prunable parameters that stay. Exact: integers below 2^53. */
export function keptParametersOf(model: PrunableModel, kept: KeptUnits): number {
  let parameters = 0
  for (const module of model.modules) parameters += (kept[module.index] ?? 0) * module.parametersPerUnit
  return parameters
}

/** Share of the prunable parameters removed, weighted by parameters. */
export function sparsityOf(model: PrunableModel, kept: KeptUnits): number {
  return (model.prunableParameters - keptParametersOf(model, kept)) / model.prunableParameters
}

/** Kept units of the dense model. */
export function denseUnits(model: PrunableModel): KeptUnits {
  return model.modules.map((module) => module.units)
}

/**
 * Throws unless every count is an integer from 0 to the units of its module.
 * @throws EspalierError POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE
 */
export function checkKeptUnits(model: PrunableModel, kept: KeptUnits): void {
  if (kept.length !== model.modules.length) {
    throw new EspalierError(
      'POLICY_LAYER_COUNT',
      `The policy has counts for ${kept.length} modules; the model has ${model.modules.length} (2 for each of ${model.layers} layers)`,
      { modules: kept.length, expected: model.modules.length },
    )
  }
  for (const module of model.modules) {
    const count = kept[module.index]
    if (count !== undefined && Number.isInteger(count) && count >= 0 && count <= module.units) continue
    throw new EspalierError(
      'POLICY_UNIT_OUT_OF_RANGE',
      `${nameOfModule(module)} keeps ${count} units; allowed is an integer from 0 to ${module.units}`,
      { layer: module.layer, kind: module.kind, value: count, allowed: [0, module.units] },
    )
  }
}
