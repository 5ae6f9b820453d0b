import {
  type EarlierEvaluation,
  type EvaluatePayload,
  type EvaluateResult,
  type EvaluationPurpose,
  isSameMethod,
  type KeptUnits,
  methodOf,
  type PruningMethod,
  type SearchSettings,
  type StepRecord,
} from '@espalier/contracts'

/** What a predictor of the search learns from, one measured policy. */
export interface MeasuredPolicy {
  readonly purpose: EvaluationPurpose
  readonly kept: KeptUnits
  /** On all windows of the search; from fewer: the dense model's there, and the rise over the dense model on these. */
  readonly logPerplexity: number
  /** Standard deviation of `logPerplexity` from having seen fewer windows; left out: it saw all. */
  readonly deviation?: number
  /** What the predictor of its round said before it was measured, and how wide that round's intervals were. */
  readonly predicted?: (NonNullable<EvaluatePayload['predicted']> & { readonly intervalScale: number }) | undefined
}

/** Keeps relative spreads of windows finite for policies that do not harm at all, log-perplexity. */
const SMALLEST_RISE = 0.01

interface Evaluation {
  readonly round: number
  readonly payload: EvaluatePayload
  readonly result: EvaluateResult
}

/**
 * The evaluations under a method on the validation split before the final ones, in the order in which they were planned: what a
 * predictor learns depends on it, and must not depend on which worker was quicker. Those of earlier searches come first,
 * without what was predicted there: intervals of another search say nothing of this one's.
 *
 * Rungs are never mixed: a policy on the first k windows is compared with the dense model on the same k, which its full
 * measurement contains. The rise there stands for the rise on all K with a variance of s^2 (1/k - 1/K); s, the deviation
 * of the rise from window to window, grows with the rise, and the ratio is pooled over all cheap measurements.
 */
export function trainingEvaluations(
  steps: readonly StepRecord[],
  settings: Pick<SearchSettings, 'validationWindows' | 'metric' | 'compensation'>,
  method: PruningMethod,
  earlier: readonly EarlierEvaluation[] = [],
): MeasuredPolicy[] {
  const { validationWindows } = settings
  const scales = new Map(
    steps.flatMap(({ kind, round, result }) => (kind === 'train' && result ? [[round, result.intervalScale]] : [])),
  )
  const before = earlier.map(({ payload, result }) => ({ round: 0, payload: { ...payload, predicted: null }, result }))
  const own = steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .flatMap(({ round, payload, result }) => (result ? [{ round, payload, result }] : []))
  const evaluations = [...before, ...own]
    .filter(({ payload }) => isLearntFrom(payload))
    .filter(({ payload }) => payload.windows <= validationWindows)
    .filter(({ payload }) => isSameMethod(methodOf({ payload, settings }), method))
  const dense = evaluations.find(({ payload }) => payload.purpose === 'dense')?.result
  const cheap = evaluations.filter(({ payload }) => payload.windows < validationWindows)
  const spread = dense ? pooledSpread(cheap, dense) : 0
  return evaluations.flatMap(({ round, payload, result }) => {
    const { purpose, keptUnits: kept, windows, predicted } = payload
    const intervalScale = scales.get(round)
    const earlier = predicted && intervalScale ? { ...predicted, intervalScale } : undefined
    if (windows === validationWindows) {
      return [{ purpose, kept, logPerplexity: result.logPerplexity, predicted: earlier }]
    }
    if (!dense) return []
    const rise = mean(windowRises(result, dense))
    const deviation = spread * scaleOf(rise) * Math.sqrt(1 / windows - 1 / validationWindows)
    return [{ purpose, kept, logPerplexity: dense.logPerplexity + rise, deviation, predicted: earlier }]
  })
}

function isLearntFrom({ split, purpose }: EvaluatePayload): boolean {
  return split === 'validation' && purpose !== 'final'
}

/** Rise of log-perplexity over the dense model on each window that the evaluation saw. */
function windowRises({ nll, tokens }: EvaluateResult, dense: EvaluateResult): number[] {
  const tokensPerWindow = tokens / nll.length
  return nll.map((value, window) => (value - (dense.nll[window] ?? 0)) / tokensPerWindow)
}

/** Standard deviation of the rise from window to window as a multiple of the rise. */
function pooledSpread(evaluations: readonly Evaluation[], dense: EvaluateResult): number {
  let [variance, squares] = [0, 0]
  for (const { result } of evaluations) {
    const rises = windowRises(result, dense)
    const rise = mean(rises)
    variance += rises.reduce((sum, value) => sum + (value - rise) ** 2, 0) / Math.max(1, rises.length - 1)
    squares += scaleOf(rise) ** 2
  }
  return squares > 0 ? Math.sqrt(variance / squares) : 0
}

function scaleOf(rise: number): number {
  return Math.max(rise, 0) + SMALLEST_RISE
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
