/** |z| of 90 % of a normal distribution. */
export const NORMAL_90 = 1.6449

/**
 * Ten pseudo-scores, half-normal quantiles widened by 1.1 as the few degrees of freedom ask. They carry the interval
 * while there are few evaluations; each weighs half a score at 20 of them, a tenth at 180.
 */
const PSEUDO_SCORES = [0.06, 0.19, 0.32, 0.45, 0.6, 0.76, 0.93, 1.15, 1.44, 1.96].map((z) => 1.1 * z)
const PSEUDO_HALVING = 20

/**
 * What a score weighs less than the one made after it. A search asks about policies like its latest ones, which are
 * better predicted than its random beginnings; about the last fifty evaluations count.
 */
const AGEING = 0.98

/** A score |error| / predicted deviation and how much it counts. */
export interface WeightedScore {
  readonly score: number
  readonly weight: number
}

/** Scores of held-out evaluations, in the order in which they were made, with their weights and the pseudo-scores. */
export function weighHeldOut(scores: readonly number[]): WeightedScore[] {
  const pseudoWeight = PSEUDO_HALVING / (PSEUDO_HALVING + scores.length)
  const made = scores.map((score, i) => ({ score, weight: AGEING ** (scores.length - 1 - i) }))
  return [...made, ...PSEUDO_SCORES.map((score) => ({ score, weight: pseudoWeight }))]
}

/**
 * Half the width of the interval in predicted standard deviations: the weighted quantile of the scores with one more
 * at infinity, as in conformal prediction beyond exchangeability (Barber, Candes, Ramdas, Tibshirani 2023,
 * section 4.1); the largest score where that one is reached.
 */
export function conformalQuantile(scores: readonly WeightedScore[], level: number): number {
  const sorted = [...scores].sort((a, b) => a.score - b.score)
  const wanted = level * (sorted.reduce((sum, { weight }) => sum + weight, 0) + 1)
  let sum = 0
  for (const { score, weight } of sorted) {
    sum += weight
    if (sum >= wanted) return score
  }
  return sorted.at(-1)?.score ?? NORMAL_90
}
