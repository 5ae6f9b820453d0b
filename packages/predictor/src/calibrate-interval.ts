import { conformalQuantile, weighHeldOut } from './interval-scale.js'

/** Share of the measurements that may fall outside. */
const MISS_RATE = 0.1
/** How far one miss moves the level. */
const ADAPTATION = 0.1
/** The level never asks for less than the inner or more than the outer of these. */
const LEAST_LEVEL = 0.5
const MOST_LEVEL = 0.98
/** What an honest score weighs less than the one made after it: predictions get better as the search goes on. */
const AGEING = 0.9
/** Honest scores from which on a 90 % quantile of them alone exists: n with n / (n + 1) >= 0.9. */
const ENOUGH_HONEST = 9

/** An evaluation that was predicted before it was measured. */
export interface HonestScore {
  /** |error| / predicted deviation. */
  readonly score: number
  /** Half the width of the interval that was given, in predicted deviations. */
  readonly intervalScale: number
}

/** Scores |error| / predicted deviation of one evaluation. */
export interface ScoredEvaluation {
  /** By a fit that did not see it. */
  readonly heldOut: number
  readonly honest: HonestScore | undefined
}

/**
 * Half the width of the 90 % interval in predicted standard deviations, as a search goes on: a conformal quantile of
 * the honest scores so far, at a level that falls while the intervals hold and rises when they miss (adaptive conformal
 * inference, Gibbs and Candes 2021, eq. 2). Scores of evaluations that were only held out stand in while few are honest.
 *
 * @param evaluations in the order in which they were planned
 */
export function calibrateInterval(evaluations: readonly ScoredEvaluation[]): number {
  const honest = evaluations.flatMap((evaluation) => evaluation.honest ?? [])
  const heldOut = evaluations.filter((evaluation) => !evaluation.honest).map((evaluation) => evaluation.heldOut)
  const missing = Math.max(0, 1 - honest.length / ENOUGH_HONEST)
  const standIns = weighHeldOut(heldOut).map(({ score, weight }) => ({ score, weight: weight * missing }))
  const recent = honest.map(({ score }, i) => ({ score, weight: AGEING ** (honest.length - 1 - i) }))
  return conformalQuantile([...recent, ...standIns], adaptedLevel(honest))
}

function adaptedLevel(honest: readonly HonestScore[]): number {
  return honest.reduce((level, { score, intervalScale }) => {
    const missed = score > intervalScale ? 1 : 0
    return Math.min(MOST_LEVEL, Math.max(LEAST_LEVEL, level - ADAPTATION * (MISS_RATE - missed)))
  }, 1 - MISS_RATE)
}
