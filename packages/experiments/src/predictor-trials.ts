import {
  type EvaluationSet,
  meanAbsoluteError,
  type Prediction,
  trainPredictor,
  trainSparsityPredictor,
  withinBinSpearman,
} from '@espalier/predictor'
import { type PredictorTrainer, predictorTrainers } from '@espalier/predictor-cnn'
import { createRandomGenerator } from '@espalier/pruning'
import { SPARSITY_BINS } from './compare-predictors.js'
import type { ReportedPredictor } from './experiment-scale.js'
import { mean } from './statistics.js'

const trainers: Readonly<Record<ReportedPredictor, PredictorTrainer>> = {
  ...predictorTrainers,
  'curve-alone': (options) => trainPredictor({ ...options, withResidual: false }),
  sparsity: trainSparsityPredictor,
}

export interface Known extends EvaluationSet {
  readonly origin: string
}

/** One predictor, trained once, on everything it has not seen. */
export interface Trial {
  readonly predictor: ReportedPredictor
  readonly size: number
  readonly seconds: number
  readonly heldOut: EvaluationSet['evaluations']
  readonly predictions: readonly Prediction[]
}

export function shuffleKnown({ evaluations }: Known, seed: number): EvaluationSet['evaluations'] {
  const isInitial = ({ purpose }: { purpose: string }) => purpose === 'dense' || purpose === 'probe'
  const others = evaluations.filter((evaluation) => !isInitial(evaluation))
  const order = createRandomGenerator(seed, 'predictor-accuracy').shuffle([...others])
  return [...evaluations.filter(isInitial), ...order]
}

/** Trains on the first evaluations of an order and predicts the rest. @param now a clock, seconds */
export async function runTrial(
  now: () => number,
  { model, rankings }: Known,
  predictor: ReportedPredictor,
  size: number,
  order: { readonly seed: number; readonly evaluations: EvaluationSet['evaluations'] },
): Promise<Trial> {
  const started = now()
  const task = { model, rankings, evaluations: order.evaluations.slice(0, size), seed: order.seed }
  const trained = await trainers[predictor](task)
  const seconds = now() - started
  const heldOut = order.evaluations.slice(size)
  return { predictor, size, seconds, heldOut, predictions: heldOut.map(({ kept }) => trained.predict(kept)) }
}

/** The same predictor from as many evaluations, in several orders. */
export type Group = readonly Trial[]

export function groupTrials(trials: readonly Trial[]): Group[] {
  const names = new Set(trials.map(({ predictor, size }) => `${size} ${predictor}`))
  return [...names].map((name) => trials.filter(({ predictor, size }) => `${size} ${predictor}` === name))
}

export const measuredOf = ({ heldOut }: Trial) => heldOut.map(({ logPerplexity }) => logPerplexity)
export const predictedOf = ({ predictions }: Trial) => predictions.map(({ logPerplexity }) => logPerplexity)
/** NaN where no bin has enough. */
export const withinBins = (trial: Trial, edges: readonly number[]) =>
  withinBinSpearman(
    measuredOf(trial),
    predictedOf(trial),
    trial.heldOut.map(({ sparsity }) => sparsity),
    edges,
  )
export const meanWithinBins = (group: Group) => mean(group.map((trial) => withinBins(trial, SPARSITY_BINS)))
export const meanError = (group: Group) =>
  mean(group.map((trial) => meanAbsoluteError(measuredOf(trial), predictedOf(trial))))

export function predictorsIn(groups: readonly Group[]): ReportedPredictor[] {
  return [...new Set(groups.flatMap((group) => group[0]?.predictor ?? []))]
}
