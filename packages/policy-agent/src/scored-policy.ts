/** Bound once: the lookup of a global can cost more than the multiplication. */
const { imul } = Math

/** Predicted log-perplexity of a policy: lower is better. */
export type Scorer = (kept: readonly number[]) => number

/** What policies are tried against: a `Predictor` of the predictor package, or anything else that scores. */
export interface ScorerSource {
  createScorer(): Scorer
  /** The same with its uncertainty; left out: none is known. */
  predict?(kept: readonly number[]): { readonly logPerplexity: number; readonly standardDeviation: number }
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

/**
 * 53 bits out of two 32-bit multiplicative hashes: among a million policies two collide with probability 6e-5, and
 * then one candidate is lost. Text keys cost more than the predictor.
 */
export function hashUnits(kept: readonly number[]): number {
  let [high, low] = [0x9e3779b9, 0x85ebca6b]
  for (const units of kept) {
    high = imul(high ^ units, 0x01000193) ^ (high >>> 15)
    low = imul(low + units, 0xc2b2ae35) ^ (low >>> 13)
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}
