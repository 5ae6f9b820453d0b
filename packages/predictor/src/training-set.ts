import { EspalierError, type EvaluationPurpose, type KeptUnits } from '@espalier/contracts'
import type { HonestScore } from './calibrate-interval.js'
import { checkKept } from './module-coordinates.js'
import { deviationOfLog, logOfRise } from './rise.js'

/** A real measurement the predictor may learn from. */
export interface TrainingEvaluation {
  readonly purpose: EvaluationPurpose
  readonly kept: KeptUnits
  readonly logPerplexity: number
  /** Standard deviation of `logPerplexity` where it comes from fewer windows than the others; 0 if left out. */
  readonly deviation?: number | undefined
  /** What a predictor that had not seen it said, if one was asked: the honest scores that calibrate the interval. */
  readonly predicted?: EarlierPrediction | undefined
}

/** A prediction with its 90 % interval, and half the width of that interval in predicted standard deviations. */
interface EarlierPrediction {
  readonly logPerplexity: number
  readonly low: number
  readonly high: number
  readonly intervalScale: number
}

/** What every kind of predictor learns from. */
export interface TrainingSet {
  /** Each policy once, in the order in which they were planned. */
  readonly evaluations: readonly TrainingEvaluation[]
  readonly denseLogPerplexity: number
  /** t = log(rise over dense + 0.01) of each. */
  readonly logRises: Float64Array
  /** Standard deviation of each t from having been measured on fewer windows. */
  readonly deviations: Float64Array
  /** Indices of those that are neither the dense model nor probes: policies like those that will be asked about. */
  readonly free: readonly number[]
  /** Of each that was predicted before it was measured; undefined: it was not. */
  readonly honestScores: readonly (HonestScore | undefined)[]
}

/**
 * Checks and merges evaluations; those of purposes `final` and `test`, which are other protocols, are left out.
 *
 * @param units units of each module
 * @throws EspalierError EVALUATION_NOT_FINITE, POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE; REQUEST_INVALID when there
 * is no evaluation at all
 */
export function createTrainingSet(units: readonly number[], given: readonly TrainingEvaluation[]): TrainingSet {
  const evaluations = mergeRepeats(units, given)
  const denseLogPerplexity = denseLogPerplexityOf(units, evaluations)
  return {
    evaluations,
    denseLogPerplexity,
    logRises: Float64Array.from(evaluations, ({ logPerplexity }) => logOfRise(logPerplexity - denseLogPerplexity)),
    deviations: Float64Array.from(evaluations, ({ logPerplexity, deviation = 0 }) =>
      deviationOfLog(deviation, logPerplexity - denseLogPerplexity),
    ),
    free: [...evaluations.keys()].filter((i) => !['dense', 'probe'].includes(evaluations[i]?.purpose ?? '')),
    honestScores: evaluations.map((evaluation) => honestScoreOf(evaluation, denseLogPerplexity)),
  }
}

function honestScoreOf({ logPerplexity, predicted }: TrainingEvaluation, dense: number): HonestScore | undefined {
  if (!predicted) return undefined
  const [measured, mean, low, high] = [logPerplexity, predicted.logPerplexity, predicted.low, predicted.high].map(
    (value) => logOfRise(value - dense),
  ) as [number, number, number, number]
  const deviation = (high - low) / (2 * predicted.intervalScale)
  const { intervalScale } = predicted
  return deviation > 0 ? { score: Math.abs(measured - mean) / deviation, intervalScale } : undefined
}

/** One evaluation a policy: the most exact repeats are averaged, so that no policy is both learnt from and held out. */
function mergeRepeats(units: readonly number[], evaluations: readonly TrainingEvaluation[]): TrainingEvaluation[] {
  const byPolicy = new Map<string, TrainingEvaluation[]>()
  for (const evaluation of evaluations) {
    if (evaluation.purpose === 'final' || evaluation.purpose === 'test') continue
    checkKept({ units }, evaluation.kept)
    if (!Number.isFinite(evaluation.logPerplexity)) {
      const message = `The predictor was given a log-perplexity of ${evaluation.logPerplexity} (${evaluation.purpose})`
      throw new EspalierError('EVALUATION_NOT_FINITE', message, { kept: evaluation.kept })
    }
    const key = evaluation.kept.join(' ')
    byPolicy.set(key, [...(byPolicy.get(key) ?? []), evaluation])
  }
  return [...byPolicy.values()].flatMap((repeats) => {
    const deviation = Math.min(...repeats.map((repeat) => repeat.deviation ?? 0))
    const exact = repeats.filter((repeat) => (repeat.deviation ?? 0) === deviation)
    const first = exact[0]
    const total = exact.reduce((sum, { logPerplexity }) => sum + logPerplexity, 0)
    const purpose = repeats.find((repeat) => repeat.purpose === 'probe')?.purpose ?? first?.purpose
    return first && purpose ? [{ ...first, purpose, logPerplexity: total / exact.length }] : []
  })
}

/** Measured, or else the best that was measured. */
function denseLogPerplexityOf(units: readonly number[], evaluations: readonly TrainingEvaluation[]): number {
  if (evaluations.length === 0) {
    throw new EspalierError('REQUEST_INVALID', 'A predictor cannot be trained on 0 evaluations; it needs at least 1')
  }
  const dense = evaluations.find(({ kept }) => kept.every((count, module) => count === units[module]))
  return dense?.logPerplexity ?? Math.min(...evaluations.map(({ logPerplexity }) => logPerplexity))
}
