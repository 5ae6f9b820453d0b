import { hashUnits, type RandomGenerator } from '@espalier/pruning'

/** Predicted log-perplexity of a policy: lower is better. */
export type Scorer = (kept: readonly number[]) => number

/** What policies are tried against: a `Predictor` of the predictor package, or anything else that scores. */
export interface ScorerSource {
  createScorer(): Scorer
  /** The same with its uncertainty; left out: none is known. */
  predict?(kept: readonly number[]): { readonly logPerplexity: number; readonly standardDeviation: number }
  /** Scores by one draw of what may be true, given what was measured; left out: none can be drawn. */
  readonly drawScorer?: (random: RandomGenerator) => Scorer
  /** Multiplications that a score takes, where they are many; see `planEffort`. */
  readonly scoreMultiplications?: number
}

export interface ScoredPolicy {
  readonly kept: readonly number[]
  readonly score: number
  readonly origin: 'network' | 'evolution' | 'random' | 'uniform'
}

/** Best first; each policy once, the one that came first in the list. */
export function rankDistinct(policies: readonly ScoredPolicy[]): ScoredPolicy[] {
  const seen = new Set<number>()
  const distinct = policies.filter(({ kept }) => {
    const key = hashUnits(kept)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
  return distinct.sort((a, b) => a.score - b.score)
}
