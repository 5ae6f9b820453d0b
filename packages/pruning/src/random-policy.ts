import type { KeptUnits } from '@espalier/contracts'
import { projectToSparsity } from './project-to-sparsity.js'
import type { PrunableModel } from './prunable-model.js'
import type { RandomGenerator } from './random-generator.js'

/** Standard deviation of the kept share over modules: drawn for each policy, from nearly uniform to very uneven. */
const spreadRange = [0.05, 0.4] as const
/** Standard deviation of the offset that all modules of one kind share. */
const kindSpread = 0.15

/**
 * A heterogeneous policy at the wanted sparsity: normal kept shares around 1 - sparsity, each kind of module with an
 * offset of its own, then projected.
 * @throws EspalierError SPARSITY_UNREACHABLE
 */
export function randomPolicy(model: PrunableModel, sparsity: number, random: RandomGenerator): KeptUnits {
  return projectToSparsity(model, drawWishes(model, sparsity, random), sparsity)
}

/** The real numbers of units that a random policy would keep, before it is brought to a sparsity or to limits. */
export function drawWishes(model: PrunableModel, sparsity: number, random: RandomGenerator): number[] {
  const [narrowest, widest] = spreadRange
  const spread = narrowest + (widest - narrowest) * random.uniform()
  const offset = { attention: kindSpread * random.normal(), ffn: kindSpread * random.normal() }
  return model.modules.map((module) => module.units * (1 - sparsity + offset[module.kind] + spread * random.normal()))
}
