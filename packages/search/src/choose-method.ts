/**
 * The method that a search prunes by: settings say it, or leave it to the search (`auto`).
 *
 * Compensation, by rule: fitting weights needs more tokens than the widest module has inputs; with fewer it adds what
 * the calibration text happens to hold. See docs/experiments for the measurements behind the number.
 *
 * Metric, by measurement: which one ranks best depends on the model and on the compensation, so the uniform policy of
 * the middle target is really evaluated under each.
 */
import {
  type ChosenMethod,
  type Compensation,
  importanceMetrics,
  type ModelShape,
  type SearchSettings,
  usualMetric,
} from '@espalier/contracts'

/** Calibration tokens for each input of the widest module from which least squares is at least as good as the mean. */
const TOKENS_AN_INPUT = 2

export type MethodSettings = Pick<SearchSettings, 'compensation' | 'windowLength' | 'calibrationWindows'>
type WidthsOfModules = Pick<ModelShape, 'queryHeads' | 'headDim' | 'ffnChannels'>

interface Choice<T> {
  readonly chosen: T
  /** null: the settings said it. */
  readonly reason: string | null
}

/** The compensation of a search, known before anything is measured. */
export function chooseCompensation(settings: MethodSettings, shape: WidthsOfModules): Choice<Compensation> {
  const { compensation, windowLength, calibrationWindows } = settings
  if (compensation !== 'auto') return { chosen: compensation, reason: null }
  const inputs = Math.max(shape.queryHeads * shape.headDim, shape.ffnChannels)
  const tokens = windowLength * calibrationWindows
  const enough = tokens >= TOKENS_AN_INPUT * inputs
  const counted = `${tokens} calibration tokens are ${(tokens / inputs).toFixed(1)} for each of the ${inputs} inputs of the widest module`
  return {
    chosen: enough ? 'least-squares' : 'mean',
    reason: `compensation: ${enough ? 'least-squares' : 'mean'}, because ${counted}, and least-squares needs ${TOKENS_AN_INPUT}`,
  }
}

/** The target whose uniform policy is tried under every metric: the middle one by sparsity. */
export function trialTargetIndex(targets: readonly { readonly sparsity: number }[]): number {
  const rising = targets.map(({ sparsity }, index) => ({ sparsity, index })).sort((a, b) => a.sparsity - b.sparsity)
  return rising[(rising.length - 1) >> 1]?.index ?? 0
}

/** The metric with the lowest perplexity; of equals, and where none was measured, the usual one. */
export function chooseMetric(trials: ChosenMethod['trials']): Choice<ChosenMethod['metric']> {
  const perplexityOf = (metric: ChosenMethod['metric']) =>
    trials.find((trial) => trial.metric === metric)?.perplexity ?? Number.POSITIVE_INFINITY
  const chosen = importanceMetrics.reduce(
    (best, metric) => (perplexityOf(metric) < perplexityOf(best) ? metric : best),
    usualMetric,
  )
  const measured = trials.map(({ metric, perplexity }) => `${perplexity?.toFixed(2) ?? 'not measured'} under ${metric}`)
  const reason =
    trials.length === 0
      ? `metric: ${chosen}, because the budget is too small to try every metric`
      : `metric: ${chosen}, because the uniform policy at ${percent(trials[0]?.sparsityTarget ?? 0)} has perplexity ${measured.join(', ')}`
  return { chosen, reason }
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(2))} %`
}
