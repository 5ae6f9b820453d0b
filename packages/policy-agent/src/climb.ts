import type { RandomGenerator } from '@espalier/pruning'
import { mutate } from './evolution.js'
import type { MutableUnits, PolicySpace } from './policy-space.js'
import type { ScoredPolicy, Scorer } from './scored-policy.js'

/** Mutations tried for one that needs no change of the common modules. */
const MOST_MUTATIONS = 20

/** Where to climb, and by what. */
export interface Slope {
  readonly space: PolicySpace
  readonly score: Scorer
  readonly random: RandomGenerator
}

/**
 * Hill climbing: `scores` mutations, one after the other, of the best policy so far.
 * @param isFree what else a policy must be to take its place
 * @param common first modules that stay as they are
 */
export function climb(
  { space, score, random }: Slope,
  start: ScoredPolicy,
  isFree: (kept: readonly number[]) => boolean,
  common: number,
  scores: number,
): ScoredPolicy {
  let best = start
  for (let scored = 0; scored < scores; scored++) {
    const kept = mutateAfter(space, best.kept, common, random)
    const value = score(kept)
    if (value < best.score && isFree(kept)) best = { kept, score: value, origin: 'evolution' }
  }
  return best
}

/** A mutation that leaves the first `common` modules alone; where none is found, the policy itself. */
export function mutateAfter(
  space: PolicySpace,
  kept: readonly number[],
  common: number,
  random: RandomGenerator,
): MutableUnits {
  for (let attempt = 0; attempt < MOST_MUTATIONS; attempt++) {
    const mutated = [...kept]
    if (mutate(space, mutated, random, common) || common === 0) return mutated
  }
  return [...kept]
}

/** Whether two policies agree on their first `length` modules. */
export function hasPrefix(kept: readonly number[], other: readonly number[], length: number): boolean {
  for (let m = 0; m < length; m++) if (kept[m] !== other[m]) return false
  return true
}
