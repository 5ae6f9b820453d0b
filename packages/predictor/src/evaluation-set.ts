import { EspalierError, type EvaluationPurpose, type EvaluationsFile } from '@espalier/contracts'
import { type PrunableModel, rankUnits, sparsityOf, type UnitRanking } from '@espalier/pruning'
import type { TrainingEvaluation } from './training-set.js'

type Measured = EvaluationsFile['evaluations'][number]

/** Evaluations with all that predictors are trained from. */
export interface EvaluationSet {
  readonly model: PrunableModel
  readonly rankings: readonly UnitRanking[]
  readonly evaluations: readonly (TrainingEvaluation & { readonly sparsity: number })[]
}

/** The file has its sparsities rounded. */
const SPARSITY_TOLERANCE = 1e-4

/**
 * What a file of evaluations says, checked against itself.
 * @throws EspalierError EVALUATIONS_INVALID with the place in the file
 */
export function createEvaluationSet(file: EvaluationsFile): EvaluationSet {
  const model = createModel(file)
  const rankings = model.modules.map(({ units }, m) => {
    const importance = file.importance[m] ?? []
    if (importance.length === units) return rankUnits(Float64Array.from(importance))
    throw invalid(`importance[${m}] has ${importance.length} numbers; module ${m} has ${units} units`)
  })
  const evaluations = file.evaluations.map((evaluation, index) => {
    const kept = keptOf(model, evaluation, index)
    const sparsity = sparsityOf(model, kept)
    if (Math.abs(sparsity - evaluation.sparsity) > SPARSITY_TOLERANCE) {
      throw invalid(`evaluations[${index}].sparsity is ${evaluation.sparsity}; its kept units make it ${sparsity}`)
    }
    return { purpose: purposeOf(evaluation), kept, logPerplexity: evaluation.logPerplexity, sparsity }
  })
  return { model, rankings, evaluations }
}

function createModel({ model, importance }: EvaluationsFile): PrunableModel {
  const modules = model.modules.map((module, index) => ({ ...module, index }))
  for (const { index, layer, kind } of modules) {
    const expected = index % 2 === 0 ? 'attention' : 'ffn'
    if (layer === Math.floor(index / 2) && kind === expected) continue
    const place = `model.modules[${index}] is layer ${layer} ${kind}`
    throw invalid(`${place}; expected layer ${Math.floor(index / 2)} ${expected}`)
  }
  if (modules.length % 2 === 1) throw invalid(`model.modules has ${modules.length} modules, expected two a layer`)
  if (importance.length !== modules.length) {
    throw invalid(`importance is of ${importance.length} modules; the model has ${modules.length}`)
  }
  const prunableParameters = modules.reduce((sum, { units, parametersPerUnit }) => sum + units * parametersPerUnit, 0)
  return { modules, layers: modules.length / 2, prunableParameters }
}

function keptOf(model: PrunableModel, { keep }: Measured, index: number): number[] {
  if (keep.length !== model.layers) {
    throw invalid(`evaluations[${index}].keep has ${keep.length} layers; the model has ${model.layers}`)
  }
  const kept = keep.flatMap(({ kvGroups, ffnChannels }) => [kvGroups, ffnChannels])
  for (const { index: m, layer, kind, units } of model.modules) {
    if ((kept[m] ?? 0) <= units) continue
    throw invalid(`evaluations[${index}].keep[${layer}] keeps ${kept[m]} ${kind} units; the layer has ${units}`)
  }
  return kept
}

/** The agent's proposals are one purpose, whatever part of it they came from. */
function purposeOf({ origin }: Measured): EvaluationPurpose {
  return origin === 'network' || origin === 'evolution' ? 'proposal' : origin
}

function invalid(problem: string): EspalierError {
  return new EspalierError('EVALUATIONS_INVALID', `These evaluations do not fit together: ${problem}`, { problem })
}
