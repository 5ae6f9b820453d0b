import {
  type Compensation,
  EspalierError,
  type ImportanceMetric,
  type KeptUnits,
  type PolicyFile,
} from '@espalier/contracts'
import { keptUnitsOf } from './masks.js'
import { nameOfModule, type PrunableModel, type PruningModule } from './prunable-model.js'
import type { KeptIndices, UnitRanking } from './rank-units.js'
import { selectKeptIndices } from './rank-units.js'
import { checkKeptUnits, sparsityOf } from './sparsity.js'

export interface ResolvedPolicy {
  readonly keptIndices: KeptIndices
  readonly kept: KeptUnits
  readonly sparsity: number
}

export function createPolicyFile(
  model: PrunableModel,
  kept: KeptUnits,
  metric: ImportanceMetric,
  compensation: Compensation,
  modelHash?: string,
): PolicyFile {
  checkKeptUnits(model, kept)
  const keep = Array.from({ length: model.layers }, (_, layer) => ({
    kvGroups: kept[2 * layer] ?? 0,
    ffnChannels: kept[2 * layer + 1] ?? 0,
  }))
  return {
    format: 'espalier-policy/1',
    metric,
    compensation,
    ...(modelHash === undefined ? {} : { modelHash }),
    keep,
  }
}

/** Whether the file has a count that only an importance ranking can turn into indices. */
export function needsRanking(file: PolicyFile, model: PrunableModel): boolean {
  return model.modules.some((module) => {
    const keep = keepOf(file, module)
    return typeof keep === 'number' && keep > 0 && keep < module.units
  })
}

/**
 * Checks a policy file against a model and turns it into kept indices. Nothing is repaired: a policy is taken as it
 * stands or refused with the name of the module.
 * @param rankings of the file's metric, one a module; null: the model was not calibrated
 * @param modelHash compared with the file's when both are there
 * @throws EspalierError POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE, POLICY_INVALID (a unit twice),
 *   POLICY_OTHER_MODEL, POLICY_UNCALIBRATED
 */
export function resolvePolicyFile(
  file: PolicyFile,
  model: PrunableModel,
  rankings: readonly UnitRanking[] | null,
  modelHash?: string,
): ResolvedPolicy {
  checkModel(file, model, modelHash)
  const keptIndices = model.modules.map((module) => resolveModule(file, module, rankings))
  const kept = keptUnitsOf(keptIndices)
  return { keptIndices, kept, sparsity: sparsityOf(model, kept) }
}

function checkModel(file: PolicyFile, model: PrunableModel, modelHash: string | undefined): void {
  if (file.modelHash !== undefined && modelHash !== undefined && file.modelHash !== modelHash) {
    throw new EspalierError(
      'POLICY_OTHER_MODEL',
      `The policy was made for the model ${file.modelHash}; this model is ${modelHash}`,
      { policyModelHash: file.modelHash, modelHash },
    )
  }
  if (file.keep.length !== model.layers) {
    throw new EspalierError(
      'POLICY_LAYER_COUNT',
      `The policy has ${file.keep.length} entries in "keep"; the model has ${model.layers} layers`,
      { layers: file.keep.length, expected: model.layers },
    )
  }
}

function keepOf(file: PolicyFile, module: PruningModule): number | readonly number[] {
  const layer = file.keep[module.layer]
  if (layer === undefined) return 0
  return module.kind === 'attention' ? layer.kvGroups : layer.ffnChannels
}

function resolveModule(
  file: PolicyFile,
  module: PruningModule,
  rankings: readonly UnitRanking[] | null,
): readonly number[] {
  const keep = keepOf(file, module)
  if (typeof keep !== 'number') return resolveIndices(keep, module)
  if (!Number.isInteger(keep) || keep < 0 || keep > module.units) throw outOfRange(module, 'keeps', keep, module.units)
  if (keep === 0 || keep === module.units) return Array.from({ length: keep }, (_, unit) => unit)
  const ranking = rankings?.[module.index]
  if (ranking === undefined) {
    throw new EspalierError(
      'POLICY_UNCALIBRATED',
      `${nameOfModule(module)} keeps the ${keep} most important of ${module.units} units by "${file.metric}", which needs a calibration text; or give the unit indices in the policy`,
      { layer: module.layer, kind: module.kind, metric: file.metric },
    )
  }
  return selectKeptIndices([ranking], [keep])[0] ?? []
}

function resolveIndices(indices: readonly number[], module: PruningModule): readonly number[] {
  const sorted = indices.toSorted((a, b) => a - b)
  sorted.forEach((unit, position) => {
    if (!Number.isInteger(unit) || unit < 0 || unit >= module.units) {
      throw outOfRange(module, 'keeps unit', unit, module.units - 1)
    }
    if (unit === sorted[position - 1]) {
      throw new EspalierError(
        'POLICY_INVALID',
        `${nameOfModule(module)} names unit ${unit} twice; each may stand once`,
        {
          layer: module.layer,
          kind: module.kind,
          value: unit,
        },
      )
    }
  })
  return sorted
}

function outOfRange(module: PruningModule, what: string, value: number, largest: number): EspalierError {
  const units = module.kind === 'attention' ? 'KV groups' : 'feed-forward channels'
  return new EspalierError(
    'POLICY_UNIT_OUT_OF_RANGE',
    `${nameOfModule(module)} ${what} ${value}; allowed is an integer from 0 to ${largest} (it has ${module.units} ${units})`,
    { layer: module.layer, kind: module.kind, value, allowed: [0, largest] },
  )
}
