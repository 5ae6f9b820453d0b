import { EspalierError, type EvaluationPurpose, type KeptUnits } from '@espalier/contracts'
import { createRandomGenerator, type PrunableModel, type UnitRanking } from '@espalier/pruning'
import { createPredictor, type Predictor } from './create-predictor.js'
import { crossValidate, curveResiduals } from './cross-validation.js'
import type { Curve } from './curve-model.js'
import { createCurvePrior, fitCurve, type Samples } from './fit-curve.js'
import { locateProbes, type Observation } from './locate-probes.js'
import { checkKept, createCoordinates, type ModuleScale } from './module-coordinates.js'
import { growForest } from './regression-trees.js'
import { logOfRise } from './rise.js'

/** A real measurement the predictor may learn from. */
export interface TrainingEvaluation {
  readonly purpose: EvaluationPurpose
  readonly kept: KeptUnits
  readonly logPerplexity: number
}

export interface TrainPredictorOptions {
  readonly model: PrunableModel
  /** One a module, of the metric that the evaluations were made with. */
  readonly rankings: readonly UnitRanking[]
  /**
   * All of one protocol (same text, windows, metric and compensation). The dense model (every unit kept) and the probes
   * (purpose `probe`: one module, or a block of modules of one kind, at about 50 %) are among them; both may be missing.
   * Purposes `final` and `test` are other protocols and are left out. In the order in which they were planned (round,
   * index): same order, same predictor; neighbours are held out together and later ones weigh more in the interval.
   */
  readonly evaluations: readonly TrainingEvaluation[]
  readonly seed: number
}

/**
 * Trains a predictor of log-perplexity: curve model, residual trees where they pay, calibrated 90 % intervals.
 *
 * @throws EspalierError EVALUATION_NOT_FINITE, POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE; REQUEST_INVALID when there
 * is no evaluation at all
 */
export function trainPredictor({ model, rankings, evaluations, seed }: TrainPredictorOptions): Predictor {
  const scale = createModuleScale(model, rankings)
  const distinct = mergeRepeats(scale, evaluations)
  const dense = denseLogPerplexityOf(scale, distinct)
  const observations = distinct.map(
    ({ kept, purpose, logPerplexity }): Observation => ({
      kept,
      rise: logPerplexity - dense,
      isProbe: purpose === 'probe',
    }),
  )
  const probes = locateProbes(scale, observations)
  const curve: Curve = { scale, probes, coordinates: createCoordinates(scale, probes) }
  const prior = createCurvePrior(curve)
  const samples = createSamples(observations)
  const fit = fitCurve(curve, prior, samples)
  const randomOf = (...path: (string | number)[]) => createRandomGenerator(seed, 'predictor', ...path)
  const free = [...observations.keys()].filter((i) => distinct[i]?.purpose !== 'dense' && !observations[i]?.isProbe)
  const { trees, intervalScale } = crossValidate(curve, prior, samples, free, fit, randomOf)
  return createPredictor({
    scale,
    probes,
    denseLogPerplexity: dense,
    parameters: fit.parameters,
    noise: fit.noise,
    covarianceRoot: Float32Array.from(fit.covarianceRoot),
    forest: growForest(samples.kept, curveResiduals(curve, fit, samples), trees, randomOf('trees')),
    intervalScale,
    evaluations: distinct.length,
  })
}

function createModuleScale(model: PrunableModel, rankings: readonly UnitRanking[]): ModuleScale {
  return {
    units: model.modules.map(({ units }) => units),
    kinds: model.modules.map(({ kind }) => (kind === 'attention' ? 0 : 1)),
    removedShare: rankings.map(({ removedShare }) => Float32Array.from(removedShare)),
  }
}

/** One evaluation a policy: repeats are averaged, so that no policy is both learnt from and held out. */
function mergeRepeats(scale: ModuleScale, evaluations: readonly TrainingEvaluation[]): TrainingEvaluation[] {
  const byPolicy = new Map<string, TrainingEvaluation[]>()
  for (const evaluation of evaluations) {
    if (evaluation.purpose === 'final' || evaluation.purpose === 'test') continue
    checkKept(scale, evaluation.kept)
    if (!Number.isFinite(evaluation.logPerplexity)) {
      const message = `The predictor was given a log-perplexity of ${evaluation.logPerplexity} (${evaluation.purpose})`
      throw new EspalierError('EVALUATION_NOT_FINITE', message, { kept: evaluation.kept })
    }
    const key = evaluation.kept.join(' ')
    byPolicy.set(key, [...(byPolicy.get(key) ?? []), evaluation])
  }
  return [...byPolicy.values()].flatMap((repeats) => {
    const first = repeats[0]
    const total = repeats.reduce((sum, { logPerplexity }) => sum + logPerplexity, 0)
    const purpose = repeats.find((repeat) => repeat.purpose === 'probe')?.purpose ?? first?.purpose
    return first && purpose ? [{ ...first, purpose, logPerplexity: total / repeats.length }] : []
  })
}

/** Measured, or else the best that was measured. */
function denseLogPerplexityOf(scale: ModuleScale, evaluations: readonly TrainingEvaluation[]): number {
  if (evaluations.length === 0) {
    throw new EspalierError('REQUEST_INVALID', 'A predictor cannot be trained on 0 evaluations; it needs at least 1')
  }
  const dense = evaluations.find(({ kept }) => kept.every((count, module) => count === scale.units[module]))
  return dense?.logPerplexity ?? Math.min(...evaluations.map(({ logPerplexity }) => logPerplexity))
}

function createSamples(observations: readonly Observation[]): Samples {
  return {
    kept: observations.map(({ kept }) => kept),
    rises: Float64Array.from(observations, ({ rise }) => rise),
    logRises: Float64Array.from(observations, ({ rise }) => logOfRise(rise)),
  }
}
