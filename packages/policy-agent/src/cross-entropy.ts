import type { RandomGenerator } from '@espalier/pruning'
import { at, type PolicySpace } from './policy-space.js'
import type { ScoredPolicy, Scorer } from './scored-policy.js'
import type { SearchEffort } from './search-effort.js'

const FIRST_DEVIATION = 1
/** The deviation never dies out before the last step. */
const LEAST_DEVIATION = 0.02
const ELITE_SHARE = 1 / 6
/** Weight of the new elite against the old distribution. */
const LEARNING = 0.7
/** Beyond it a module is kept or removed as good as whole. */
const LOGIT_LIMIT = 6

/**
 * Cross-entropy method (Rubinstein and Kroese 2004, section 4.2) over logits: independent normals, refitted to the elite of each
 * step. Starts from the logits of the policy network. Returns the elites of all steps.
 */
export function searchByCrossEntropy(
  space: PolicySpace,
  score: Scorer,
  start: ArrayLike<number>,
  effort: SearchEffort,
  random: RandomGenerator,
): ScoredPolicy[] {
  const means = Float64Array.from(start)
  const deviations = new Float64Array(means.length).fill(FIRST_DEVIATION)
  const eliteSize = Math.max(2, Math.round(effort.crossEntropySamples * ELITE_SHARE))
  const found: ScoredPolicy[] = []
  for (let step = 0; step < effort.crossEntropySteps; step++) {
    const samples = Array.from({ length: effort.crossEntropySamples }, () => {
      const logits = means.map((mean, m) => clampLogit(mean + at(deviations, m) * random.normal()))
      const kept = space.fromLogits(logits)
      return { logits, kept, score: score(kept) }
    })
    const elite = samples.sort((a, b) => a.score - b.score).slice(0, eliteSize)
    for (const { kept, score } of elite) found.push({ kept, score, origin: 'evolution' })
    refit(
      means,
      deviations,
      elite.map(({ logits }) => logits),
    )
  }
  return found
}

function refit(means: Float64Array, deviations: Float64Array, elite: readonly Float64Array[]): void {
  for (let m = 0; m < means.length; m++) {
    const mean = elite.reduce((sum, logits) => sum + at(logits, m), 0) / elite.length
    const variance = elite.reduce((sum, logits) => sum + (at(logits, m) - mean) ** 2, 0) / elite.length
    means[m] = (1 - LEARNING) * at(means, m) + LEARNING * mean
    deviations[m] = (1 - LEARNING) * at(deviations, m) + LEARNING * Math.sqrt(variance) + LEAST_DEVIATION
  }
}

function clampLogit(logit: number): number {
  return Math.max(-LOGIT_LIMIT, Math.min(LOGIT_LIMIT, logit))
}
