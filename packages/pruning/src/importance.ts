import { EspalierError, type ImportanceMetric } from '@espalier/contracts'
import { nameOfModule, type PrunableModel, type PruningModule } from './prunable-model.js'
import { rankUnits, type UnitRanking } from './rank-units.js'

/**
 * What calibration records of one module: x is the input of its output matrix W (o_proj or down_proj),
 * one entry an input channel, sums over all calibration tokens in float64.
 */
export interface ModuleStatistics {
  /** Tokens. */
  readonly count: number
  /** sum x_j */
  readonly sum: Float64Array
  /** sum x_j^2 */
  readonly sumOfSquares: Float64Array
  /** mean_i |W_ij| */
  readonly columnAbsoluteMean: Float64Array
  /** sum_i W_ij^2 */
  readonly columnSquareSum: Float64Array
  /** [units], see `eliminationErrors`; left out: not recorded. Metric `obs` needs it. */
  readonly eliminationErrors?: Float64Array | undefined
}

/** Metrics that tell what each input channel is worth by itself. */
export type ChannelMetric = Exclude<ImportanceMetric, 'obs'>

/**
 * Importance of each input channel j of W:
 * - `magnitude`   sqrt(sum_i W_ij^2)
 * - `wanda`       sqrt(E[x_j^2]) * mean_i |W_ij|   (Sun et al., arXiv 2306.11695, summed over rows)
 * - `fluctuation` Var[x_j] * sum_i W_ij^2, sample variance   (FLAP, An et al., arXiv 2312.11983)
 */
export function channelImportance(metric: ChannelMetric, statistics: ModuleStatistics): Float64Array {
  const { count, sum, sumOfSquares, columnAbsoluteMean, columnSquareSum } = statistics
  const channelOf = {
    magnitude: (j: number) => Math.sqrt(columnSquareSum[j] ?? 0),
    wanda: (j: number) => Math.sqrt((sumOfSquares[j] ?? 0) / count) * (columnAbsoluteMean[j] ?? 0),
    fluctuation: (j: number) => varianceOf(count, sum[j] ?? 0, sumOfSquares[j] ?? 0) * (columnSquareSum[j] ?? 0),
  }[metric]
  return Float64Array.from(sum, (_, j) => channelOf(j))
}

function varianceOf(count: number, sum: number, sumOfSquares: number): number {
  return count < 2 ? 0 : Math.max(0, (sumOfSquares - (sum * sum) / count) / (count - 1))
}

/**
 * Importance of each unit: a channel's own, or the sum over the channels of all query heads of a KV group; under `obs`
 * what its elimination cost.
 * @throws EspalierError EVALUATION_NOT_FINITE when the calibration overflowed; INTERNAL when it lacks what `obs` needs
 */
export function unitImportance(
  metric: ImportanceMetric,
  statistics: ModuleStatistics,
  module: PruningModule,
): Float64Array {
  const importance = metric === 'obs' ? errorsOf(statistics, module) : sumChannels(metric, statistics, module)
  const bad = importance.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) {
    throw new EspalierError(
      'EVALUATION_NOT_FINITE',
      `The ${metric} importance of unit ${bad} in ${nameOfModule(module)} is ${importance[bad]}; it must be finite`,
      { layer: module.layer, kind: module.kind, unit: bad },
    )
  }
  return importance
}

function sumChannels(metric: ChannelMetric, statistics: ModuleStatistics, { units }: PruningModule): Float64Array {
  const channels = channelImportance(metric, statistics)
  const channelsPerUnit = channels.length / units
  const importance = new Float64Array(units)
  for (let channel = 0; channel < channels.length; channel++) {
    const unit = Math.floor(channel / channelsPerUnit)
    importance[unit] = (importance[unit] ?? 0) + (channels[channel] ?? 0)
  }
  return importance
}

function errorsOf({ eliminationErrors }: ModuleStatistics, module: PruningModule): Float64Array {
  if (eliminationErrors) return eliminationErrors
  throw new EspalierError('INTERNAL', `The calibration has no elimination errors of ${nameOfModule(module)}`, {
    layer: module.layer,
    kind: module.kind,
  })
}

/** Ranking of every module of a model; `statistics` has one entry a module. */
export function rankModules(
  metric: ImportanceMetric,
  statistics: readonly ModuleStatistics[],
  model: PrunableModel,
): readonly UnitRanking[] {
  if (statistics.length !== model.modules.length) {
    throw new EspalierError(
      'POLICY_LAYER_COUNT',
      `The calibration has ${statistics.length} modules; the model has ${model.modules.length}`,
      { modules: statistics.length, expected: model.modules.length },
    )
  }
  return statistics.map((moduleStatistics, index) =>
    rankUnits(unitImportance(metric, moduleStatistics, model.modules[index] as PruningModule)),
  )
}
