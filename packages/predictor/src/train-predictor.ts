import type { PrunableModel, UnitRanking } from '@espalier/pruning'
import { calibrateInterval } from './calibrate-interval.js'
import { createPredictor, type Predictor } from './create-predictor.js'
import { crossValidate, measureResiduals, predictsBetter } from './cross-validation.js'
import type { Curve } from './curve-model.js'
import { type CurveFit, type CurvePrior, createCurvePrior, fitCurve, type Samples } from './fit-curve.js'
import { locateProbes, type Observation } from './locate-probes.js'
import { createCoordinates, type ModuleScale } from './module-coordinates.js'
import { parsePredictorState } from './predictor-state.js'
import { conditionProcess, createResidualSamples } from './residual-process.js'
import { logOfRise } from './rise.js'
import { createTrainingSet, type TrainingEvaluation } from './training-set.js'
import { createTransferPrior } from './transfer-prior.js'

export interface TrainPredictorOptions {
  readonly model: PrunableModel
  /** One a module, of the metric that the evaluations were made with. */
  readonly rankings: readonly UnitRanking[]
  /**
   * All of one protocol (same text, windows, metric and compensation; those on fewer windows as estimates of the full
   * one with their deviation, which the linear and CNN kinds leave unregarded). The dense model (every unit kept) and the probes
   * (purpose `probe`: one module, or a block of modules of one kind, at about 50 %) are among them; both may be missing.
   * Purposes `final` and `test` are other protocols and are left out. In the order in which they were planned (round,
   * index): same order, same predictor; neighbours are held out together and later ones weigh more in the interval.
   */
  readonly evaluations: readonly TrainingEvaluation[]
  readonly seed: number
  /**
   * What a predictor of a related model said of itself (`Predictor.toJSON`, curve kind). The shape of its curve is where
   * this one starts from, if that predicts evaluations held out better.
   */
  readonly related?: unknown
  /** Whether a residual process may be added to the curve model; by default it is where it pays. */
  readonly withResidual?: boolean
}

/**
 * Trains a predictor of log-perplexity: curve model, residual process where it pays, calibrated 90 % intervals.
 *
 * @throws EspalierError EVALUATION_NOT_FINITE, POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE; REQUEST_INVALID when there
 * is no evaluation at all
 */
export function trainPredictor({
  model,
  rankings,
  evaluations,
  related,
  withResidual = true,
}: TrainPredictorOptions): Predictor {
  const scale = createModuleScale(model, rankings)
  const {
    evaluations: distinct,
    denseLogPerplexity: dense,
    free,
    honestScores,
    deviations,
  } = createTrainingSet(scale.units, evaluations)
  const observations = distinct.map(
    ({ kept, purpose, logPerplexity, deviation = 0 }): Observation => ({
      kept,
      rise: logPerplexity - dense,
      deviation,
      isProbe: purpose === 'probe',
    }),
  )
  const probes = locateProbes(scale, observations)
  const curve: Curve = { scale, probes, coordinates: createCoordinates(scale, probes) }
  const samples = createSamples(observations, deviations)
  const cold = fitBy(curve, createCurvePrior(curve), samples)
  const [prior, fit] = related === undefined ? cold : preferRelated(curve, cold, samples, free, related)
  const residual = withResidual ? createResidualSamples(scale.units, samples.kept, free) : null
  const measured = measureResiduals(curve, fit, samples)
  const { smoothness, scores } = crossValidate(curve, prior, samples, free, fit, residual, measured)
  const state = {
    scale,
    probes,
    denseLogPerplexity: dense,
    parameters: fit.parameters,
    noise: fit.noise,
    covarianceRoot: Float32Array.from(fit.covarianceRoot),
    residual:
      residual && smoothness && conditionProcess(residual, smoothness, samples.kept, samples.logRises, measured),
    intervalScale: calibrateInterval(scores.map((heldOut, k) => ({ heldOut, honest: honestScores[free[k] ?? -1] }))),
    evaluations: distinct.length,
    ...(prior === cold[0] ? {} : { related: true as const }),
  }
  return createPredictor(state, curve.coordinates)
}

type FittedPrior = readonly [CurvePrior, CurveFit]

function fitBy(curve: Curve, prior: CurvePrior, samples: Samples): FittedPrior {
  return [prior, fitCurve(curve, prior, samples)]
}

/** The cold fit, unless the prior from a related model predicts better what is held out. */
function preferRelated(
  curve: Curve,
  cold: FittedPrior,
  samples: Samples,
  free: readonly number[],
  related: unknown,
): FittedPrior {
  const warm = fitBy(curve, createTransferPrior(curve, cold[0], parsePredictorState(related)), samples)
  return predictsBetter(curve, cold, warm, samples, free) ? warm : cold
}

function createModuleScale(model: PrunableModel, rankings: readonly UnitRanking[]): ModuleScale {
  return {
    units: model.modules.map(({ units }) => units),
    kinds: model.modules.map(({ kind }) => (kind === 'attention' ? 0 : 1)),
    removedShare: rankings.map(({ removedShare }) => Float32Array.from(removedShare)),
  }
}

function createSamples(observations: readonly Observation[], deviations: Float64Array): Samples {
  return {
    kept: observations.map(({ kept }) => kept),
    rises: Float64Array.from(observations, ({ rise }) => rise),
    logRises: Float64Array.from(observations, ({ rise }) => logOfRise(rise)),
    deviations,
  }
}
