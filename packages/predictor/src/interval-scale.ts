/** |z| of 90 % of a normal distribution. */
export const NORMAL_90 = 1.6449

/**
 * Ten pseudo-evaluations, half-normal quantiles widened by 1.1 as the few degrees of freedom ask; they carry the
 * interval while there are few evaluations and are outvoted later.
 */
const PSEUDO_SCORES = [0.06, 0.19, 0.32, 0.45, 0.6, 0.76, 0.93, 1.15, 1.44, 1.96].map((z) => 1.1 * z)

/**
 * Half the width of the 90 % interval in predicted standard deviations, from held-out scores
 * |error| / predicted deviation: their ceil(0.9 (n + 1))-th smallest, the finite-sample quantile of conformal prediction
 * (Vovk, Gammerman, Shafer 2005, section 2.2).
 */
export function intervalScaleOf(scores: readonly number[]): number {
  const sorted = [...scores, ...PSEUDO_SCORES].sort((a, b) => a - b)
  const position = Math.min(sorted.length, Math.ceil(0.9 * (sorted.length + 1)))
  return sorted[position - 1] ?? NORMAL_90
}
