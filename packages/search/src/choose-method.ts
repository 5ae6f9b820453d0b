/**
 * The method that a search prunes by: settings say it, or leave it to the search (`auto`).
 *
 * Compensation, by rule: fitting weights needs more tokens than the widest module has inputs; with fewer it adds what
 * the calibration text happens to hold. See docs/experiments for the measurements behind the number.
 *
 * Metric, by measurement: which one ranks best depends on the model and on the compensation, so the uniform policy of
 * the middle target is really evaluated under each. `obs` is tried where weights are fitted, for that is what it ranks by,
 * and where eliminating the units of all modules takes minutes, not hours; `magnitude`, which knows no inputs, gives way.
 */
import {
  type ChosenMethod,
  type Compensation,
  type ImportanceMetric,
  importanceMetrics,
  type ModelShape,
  type SearchSettings,
  usualMetric,
} from '@espalier/contracts'
import { widestInputsOf } from '@espalier/pruning'

/** Calibration tokens for each input of the widest module from which least squares is at least as good as the mean. */
const TOKENS_AN_INPUT = 2
/** Inputs of the widest module up to which `obs` is tried. */
const WIDEST_ELIMINATED = 2048
/** Share of the budget that the choice of the metric may take. */
const TRIAL_SHARE = 0.1

export type MethodSettings = Pick<SearchSettings, 'compensation' | 'windowLength' | 'calibrationWindows'>
export type TrialSettings = MethodSettings & Pick<SearchSettings, 'metric' | 'budget'>
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
  const inputs = widestInputsOf(shape)
  const tokens = windowLength * calibrationWindows
  const enough = tokens >= TOKENS_AN_INPUT * inputs
  const counted = `${tokens} calibration tokens are ${(tokens / inputs).toFixed(1)} for each of the ${inputs} inputs of the widest module`
  return {
    chosen: enough ? 'least-squares' : 'mean',
    reason: `compensation: ${enough ? 'least-squares' : 'mean'}, because ${counted}, and least-squares needs ${TOKENS_AN_INPUT}`,
  }
}

/** Metrics tried before the search; none: the metric is given, or the budget too small to try them all. */
export function trialMetrics(settings: TrialSettings, shape: WidthsOfModules): readonly ImportanceMetric[] {
  if (settings.metric !== 'auto') return []
  const eliminates =
    chooseCompensation(settings, shape).chosen === 'least-squares' && widestInputsOf(shape) <= WIDEST_ELIMINATED
  const metrics = importanceMetrics.filter((metric) => metric !== (eliminates ? 'magnitude' : 'obs'))
  return countExtraTrials(metrics) <= TRIAL_SHARE * settings.budget ? metrics : []
}

/** Evaluations of uniform policies that only serve to choose: all but the one under the metric chosen. */
export function countExtraTrials(tried: readonly ImportanceMetric[]): number {
  return Math.max(0, tried.length - 1)
}

/** The target whose uniform policy is tried under every metric: the middle one by sparsity. */
export function trialTargetIndex(targets: readonly { readonly sparsity: number }[]): number {
  const rising = targets.map(({ sparsity }, index) => ({ sparsity, index })).sort((a, b) => a.sparsity - b.sparsity)
  return rising[(rising.length - 1) >> 1]?.index ?? 0
}

/** The metric with the lowest perplexity; of equals, and where none was measured, the usual one. */
export function chooseMetric(trials: ChosenMethod['trials']): Choice<ChosenMethod['metric']> {
  const perplexityOf = (metric: ImportanceMetric) =>
    trials.find((trial) => trial.metric === metric)?.perplexity ?? Number.POSITIVE_INFINITY
  const chosen = trials.reduce<ImportanceMetric>(
    (best, { metric }) => (perplexityOf(metric) < perplexityOf(best) ? metric : best),
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
