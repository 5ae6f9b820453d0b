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
  const [narrowest, widest] = spreadRange
  const spread = narrowest + (widest - narrowest) * random.uniform()
  const offset = { attention: kindSpread * random.normal(), ffn: kindSpread * random.normal() }
  const wanted = model.modules.map(
    (module) => module.units * (1 - sparsity + offset[module.kind] + spread * random.normal()),
  )
  return projectToSparsity(model, wanted, sparsity)
}
