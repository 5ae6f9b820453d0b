import { EspalierError } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from './prunable-model.js'

/** A projected policy keeps at least one channel in every feed-forward block; attention may go as a whole. */
export function minimumUnitsOf(module: PruningModule): number {
  return module.kind === 'ffn' ? Math.min(1, module.units) : 0
}

/** Largest sparsity a projected policy can have. */
export function maximumSparsityOf(model: PrunableModel): number {
  let kept = 0
  for (const module of model.modules) kept += minimumUnitsOf(module) * module.parametersPerUnit
  return (model.prunableParameters - kept) / model.prunableParameters
}

/**
 * Parameters that a policy of the wanted sparsity removes at most, an integer. `sparsity * parameters` is rounded to
 * the nearest integer when it lies within floating-point error of it (0.35 * 5632000 is 1971199.9999999998).
 * @throws EspalierError SPARSITY_UNREACHABLE
 */
export function parametersToRemove(model: PrunableModel, sparsity: number): number {
  const maximum = maximumSparsityOf(model)
  if (!(sparsity >= 0 && sparsity <= maximum)) {
    throw new EspalierError(
      'SPARSITY_UNREACHABLE',
      `Sparsity ${sparsity} cannot be reached; allowed is 0 to ${maximum} for this model, as every layer keeps at least one feed-forward channel`,
      { sparsity, allowed: [0, maximum] },
    )
  }
  const exact = sparsity * model.prunableParameters
  const nearest = Math.round(exact)
  return Math.abs(exact - nearest) <= 4 * Number.EPSILON * exact ? nearest : Math.floor(exact)
}
