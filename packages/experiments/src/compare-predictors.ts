import { EspalierError, predictorKinds } from '@espalier/contracts'
import {
  type EvaluationSet,
  intervalCoverage,
  meanAbsoluteError,
  spearman,
  trainSparsityPredictor,
  withinBinSpearman,
} from '@espalier/predictor'
import { type PredictorTrainer, predictorTrainers } from '@espalier/predictor-cnn'
import { createRandomGenerator } from '@espalier/pruning'

export const comparedPredictors = [...predictorKinds, 'sparsity'] as const
export type ComparedPredictor = (typeof comparedPredictors)[number]

const trainers: Readonly<Record<ComparedPredictor, PredictorTrainer>> = {
  ...predictorTrainers,
  sparsity: trainSparsityPredictor,
}

/** Bins of equal sparsity; what lies outside belongs to no bin. */
export const SPARSITY_BINS: readonly number[] = [0, 0.15, 0.3, 0.45, 0.63, 0.8, 1]

/** Fewer left to predict than this say nothing. */
const FEWEST_HELD_OUT = 10

/** How well one predictor predicts what it has not seen. */
interface PredictorAccuracy {
  /** Mean over the bins of equal sparsity; null when no bin has five policies. */
  readonly withinBinSpearman: number | null
  readonly spearman: number
  /** Of log-perplexity. */
  readonly meanAbsoluteError: number
  /** Share of measured values inside the 90 % interval. */
  readonly intervalCoverage: number
  readonly trainingSeconds: number
}

interface PredictorRun extends PredictorAccuracy {
  /** `file`: the first evaluations of the file; `draw 1`, ...: the policies shuffled, dense model and probes first. */
  readonly order: string
}

/** The mean over all orders, and each. */
export interface PredictorResult extends PredictorAccuracy {
  readonly predictor: ComparedPredictor
  readonly trainSize: number
  readonly heldOut: number
  readonly runs: readonly PredictorRun[]
}

export interface CompareOptions {
  readonly set: EvaluationSet
  readonly predictors: readonly ComparedPredictor[]
  readonly trainSizes: readonly number[]
  /** Seeded orders besides that of the file. */
  readonly draws: number
  readonly seed: number
  /** A clock, seconds. */
  readonly now: () => number
  readonly onProgress?: (predictor: ComparedPredictor, trainSize: number, order: string) => void
}

/**
 * Trains every kind of predictor on the first N evaluations and predicts the rest, for several N and orders. Dense
 * model and probes count in N, for all kinds.
 * @throws EspalierError REQUEST_INVALID when too few are left to predict
 */
export async function comparePredictors(options: CompareOptions): Promise<PredictorResult[]> {
  const total = options.set.evaluations.length
  const largest = Math.max(...options.trainSizes)
  if (largest > total - FEWEST_HELD_OUT) {
    const allowed = `at most ${total - FEWEST_HELD_OUT} of ${total}, so that ${FEWEST_HELD_OUT} are left to predict`
    throw new EspalierError('REQUEST_INVALID', `Training on ${largest} evaluations is not possible: ${allowed}`)
  }
  const orders = createOrders(options)
  const results: PredictorResult[] = []
  for (const trainSize of options.trainSizes) {
    for (const predictor of options.predictors) {
      const runs: PredictorRun[] = []
      for (const { name, evaluations } of orders) {
        options.onProgress?.(predictor, trainSize, name)
        runs.push({ order: name, ...(await measure(options, predictor, evaluations, trainSize)) })
      }
      results.push({ predictor, trainSize, heldOut: total - trainSize, ...meanOf(runs), runs })
    }
  }
  return results
}

function createOrders({ set, draws, seed }: CompareOptions) {
  const isInitial = ({ purpose }: { purpose: string }) => purpose === 'dense' || purpose === 'probe'
  const initial = set.evaluations.filter(isInitial)
  const others = set.evaluations.filter((evaluation) => !isInitial(evaluation))
  const drawn = Array.from({ length: draws }, (_, index) => ({
    name: `draw ${index + 1}`,
    evaluations: [...initial, ...createRandomGenerator(seed, 'compare-predictors', index).shuffle([...others])],
  }))
  return [{ name: 'file', evaluations: set.evaluations }, ...drawn]
}

async function measure(
  { set, seed, now }: CompareOptions,
  kind: ComparedPredictor,
  order: EvaluationSet['evaluations'],
  trainSize: number,
): Promise<PredictorAccuracy> {
  const started = now()
  const { model, rankings } = set
  const predictor = await trainers[kind]({ model, rankings, evaluations: order.slice(0, trainSize), seed })
  const trainingSeconds = now() - started
  const heldOut = order.slice(trainSize)
  const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
  const predictions = heldOut.map(({ kept }) => predictor.predict(kept))
  const predicted = predictions.map(({ logPerplexity }) => logPerplexity)
  const sparsities = heldOut.map(({ sparsity }) => sparsity)
  const withinBin = withinBinSpearman(measured, predicted, sparsities, SPARSITY_BINS)
  return {
    withinBinSpearman: Number.isNaN(withinBin) ? null : withinBin,
    spearman: spearman(measured, predicted),
    meanAbsoluteError: meanAbsoluteError(measured, predicted),
    intervalCoverage: intervalCoverage(measured, predictions),
    trainingSeconds,
  }
}

function meanOf(runs: readonly PredictorAccuracy[]): PredictorAccuracy {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const ranked = runs.flatMap(({ withinBinSpearman: value }) => (value === null ? [] : [value]))
  return {
    withinBinSpearman: ranked.length === 0 ? null : mean(ranked),
    spearman: mean(runs.map((run) => run.spearman)),
    meanAbsoluteError: mean(runs.map((run) => run.meanAbsoluteError)),
    intervalCoverage: mean(runs.map((run) => run.intervalCoverage)),
    trainingSeconds: mean(runs.map((run) => run.trainingSeconds)),
  }
}
