import { assignFolds } from './assign-folds.js'
import { type Curve, createContributions, evaluateCurve, parameterCount } from './curve-model.js'
import { type CurveFit, type CurvePrior, refitCurve, type Samples } from './fit-curve.js'
import { laplaceVariance } from './laplace-variance.js'
import {
  chooseSmoothness,
  type Measured,
  predictHeldOut,
  type ResidualSamples,
  type Smoothness,
} from './residual-process.js'
import { noiseAt, riseOfLog } from './rise.js'

/** What holding evaluations out says about the predictor that is trained on all of them. */
export interface CrossValidation {
  /** Of the residual process; null: the curve alone predicts as well. */
  readonly smoothness: Smoothness | null
  /** |held-out error| / predicted deviation of each evaluation held out, in the order given; none where too few. */
  readonly scores: readonly number[]
}

/** A fit of more parameters is slow: so many folds of it must do, whose fits take most of the time of training. */
const SLOW_PARAMETERS = 200
const MOST_SLOW_FOLDS = 5
/** Standard errors that a gain must exceed where nothing must be lost: by chance one does in forty times. */
const SURE = 2

/** One held-out evaluation. */
interface HeldOut {
  /** Error of t by the curve alone, and with the residual process. */
  readonly curve: number
  readonly both: number
  /** Predicted standard deviation of t. */
  readonly deviation: number
}

/**
 * Cross-validates over the evaluations `heldOut` (indices; never probes, which define the model).
 *
 * The residual process is used if its held-out loss beats that of the curve alone by more than its standard error. The
 * scores make the interval cross-conformal (Vovk 2015) while none was predicted before it was measured.
 *
 * @param residual what the process may learn from; null: there is none
 * @param measured what `fit` leaves
 */
export function crossValidate(
  curve: Curve,
  prior: CurvePrior,
  samples: Samples,
  heldOut: readonly number[],
  fit: CurveFit,
  residual: ResidualSamples | null,
  measured: Measured,
): CrossValidation {
  const smoothness = residual && chooseSmoothness(residual, measured)
  const results = foldsOf(curve, heldOut).flatMap((fold) =>
    holdOut(curve, prior, samples, fold, fit, residual && smoothness ? { samples: residual, smoothness } : null),
  )
  const pays = doesPay(results)
  const scores = results.map((result) => Math.abs(pays ? result.both : result.curve) / result.deviation)
  return { smoothness: pays ? smoothness : null, scores }
}

/**
 * Whether the other prior predicts evaluations that were held out better than the first one: smaller errors of t, by
 * more than two standard errors of the difference. The first one is left only for a reason that own measurements give.
 *
 * @param fit by the first prior
 * @param otherFit by the other one
 */
export function predictsBetter(
  curve: Curve,
  [prior, fit]: readonly [CurvePrior, CurveFit],
  [otherPrior, otherFit]: readonly [CurvePrior, CurveFit],
  samples: Samples,
  heldOut: readonly number[],
): boolean {
  const gains = foldsOf(curve, heldOut).flatMap((fold) => {
    const training = without(samples, fold)
    const predicted = predictFold(curve, refitCurve(curve, prior, training, fit), samples, fold)
    const others = predictFold(curve, refitCurve(curve, otherPrior, training, otherFit), samples, fold)
    return predicted.map(({ error }, i) => Math.abs(error) - Math.abs(others[i]?.error ?? Number.POSITIVE_INFINITY))
  })
  const { gain, error } = gainOf(gains)
  return gain > SURE * error
}

function foldsOf({ scale }: Curve, heldOut: readonly number[]) {
  const isSlow = parameterCount(scale.units.length) > SLOW_PARAMETERS
  return assignFolds(heldOut, isSlow ? MOST_SLOW_FOLDS : undefined)
}

function holdOut(
  curve: Curve,
  prior: CurvePrior,
  samples: Samples,
  fold: readonly number[],
  start: CurveFit,
  residual: { readonly samples: ResidualSamples; readonly smoothness: Smoothness } | null,
): HeldOut[] {
  const fit = refitCurve(curve, prior, without(samples, fold), start)
  const predicted = predictFold(curve, fit, samples, fold)
  if (!residual) return predicted.map(({ error, deviation }) => ({ curve: error, both: error, deviation }))
  const measured = measureResiduals(curve, fit, samples)
  const added = predictHeldOut(residual.samples, residual.smoothness, measured, fold)
  return predicted.map(({ error, deviation }, i) => ({ curve: error, both: error - (added[i] ?? 0), deviation }))
}

/** Error of t and its predicted deviation, by the curve alone. */
function predictFold(curve: Curve, fit: CurveFit, samples: Samples, fold: readonly number[]) {
  return fold.map((i) => {
    const { logRise, deviation } = predictCurve(curve, fit, samples.kept[i] ?? [])
    const error = (samples.logRises[i] ?? 0) - logRise
    return { error, deviation: Math.hypot(deviation, samples.deviations[i] ?? 0) }
  })
}

function without(samples: Samples, fold: readonly number[]): Samples {
  const excluded = new Set(fold)
  return selectSamples(
    samples,
    [...samples.kept.keys()].filter((i) => !excluded.has(i)),
  )
}

function selectSamples(samples: Samples, indices: readonly number[]): Samples {
  return {
    kept: indices.map((i) => samples.kept[i] ?? []),
    rises: Float64Array.from(indices, (i) => samples.rises[i] ?? 0),
    logRises: Float64Array.from(indices, (i) => samples.logRises[i] ?? 0),
    deviations: Float64Array.from(indices, (i) => samples.deviations[i] ?? 0),
  }
}

/** What the curve leaves unexplained of each t. */
export function measureResiduals(curve: Curve, fit: CurveFit, samples: Samples): Measured {
  const scratch = createContributions(curve.scale.units.length)
  const residuals = samples.logRises.map(
    (logRise, i) => logRise - evaluateCurve(curve, fit.parameters, samples.kept[i] ?? [], scratch),
  )
  return { residuals, deviations: samples.deviations }
}

function predictCurve(curve: Curve, fit: CurveFit, kept: readonly number[]) {
  const jacobian = new Float64Array(parameterCount(curve.scale.units.length))
  const scratch = createContributions(curve.scale.units.length)
  const logRise = evaluateCurve(curve, fit.parameters, kept, scratch, jacobian)
  const noise = noiseAt(fit.noise, riseOfLog(logRise))
  return { logRise, deviation: Math.sqrt(laplaceVariance(fit.covarianceRoot, jacobian) + noise ** 2) }
}

/** Whether the process predicts better than the curve alone, by more than the standard error of the gain. */
function doesPay(results: readonly HeldOut[]): boolean {
  const lossOf = (error: number, deviation: number) => Math.min((error / deviation) ** 2, 9)
  const gains = results.map(({ curve, both, deviation }) => lossOf(curve, deviation) - lossOf(both, deviation))
  const { gain, error } = gainOf(gains)
  return gain > error
}

/** Mean gain and its standard error, which is not a number where there is only one. */
function gainOf(gains: readonly number[]): { readonly gain: number; readonly error: number } {
  const gain = gains.reduce((sum, value) => sum + value, 0) / gains.length
  const variance = gains.reduce((sum, value) => sum + (value - gain) ** 2, 0) / (gains.length - 1)
  return { gain, error: Math.sqrt(variance / gains.length) }
}
