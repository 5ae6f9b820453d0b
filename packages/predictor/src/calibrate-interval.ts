import { conformalQuantile, weighHeldOut } from './interval-scale.js'

/** Share of the measurements that may fall outside. */
const MISS_RATE = 0.1
/** The level never asks for less than the inner or more than the outer of these. */
const LEAST_LEVEL = 0.5
const MOST_LEVEL = 0.98
/**
 * Honest scores that count: so many, or this share of all. Those of a round go wrong together, so that a memory shorter
 * than a round makes intervals too wide and too narrow in turns; older ones are of a worse predictor.
 */
const LEAST_MEMORY = 10
const MEMORY_SHARE = 1 / 5
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
  const forgotten = 1 / Math.max(LEAST_MEMORY, MEMORY_SHARE * honest.length)
  const recent = honest.map(({ score }, i) => ({ score, weight: (1 - forgotten) ** (honest.length - 1 - i) }))
  return conformalQuantile([...recent, ...standIns], adaptedLevel(honest, forgotten))
}

/** @param adaptation how far one miss moves the level */
function adaptedLevel(honest: readonly HonestScore[], adaptation: number): number {
  return honest.reduce((level, { score, intervalScale }) => {
    const missed = score > intervalScale ? 1 : 0
    return Math.min(MOST_LEVEL, Math.max(LEAST_LEVEL, level - adaptation * (MISS_RATE - missed)))
  }, 1 - MISS_RATE)
}
