import type { RandomGenerator } from '@espalier/pruning'
import { assignFolds } from './assign-folds.js'
import { type Curve, createContributions, evaluateCurve, parameterCount } from './curve-model.js'
import { type CurveFit, type CurvePrior, laplaceVariance, refitCurve, type Samples, sigmasOf } from './fit-curve.js'
import { growForest, valueOfTree } from './regression-trees.js'
import { noiseAt, riseOfLog } from './rise.js'

/** What holding evaluations out says about the predictor that is trained on all of them. */
export interface CrossValidation {
  /** Residual trees that pay; 0 when they do not clearly. */
  readonly trees: number
  /** |held-out error| / predicted deviation of each evaluation held out, in the order given; none where too few. */
  readonly scores: readonly number[]
}

const MAX_TREES = 64
const TREE_STEP = 8
/** Standard errors that a gain must exceed where nothing must be lost: by chance one does in forty times. */
const SURE = 2

/** One held-out evaluation. */
interface HeldOut {
  /** Error of t with 0, 8, 16, ... trees. */
  readonly errors: readonly number[]
  /** Predicted standard deviation of t. */
  readonly deviation: number
}

/**
 * Cross-validates over the evaluations `heldOut` (indices; never probes, which define the model).
 *
 * The number of trees is the one with the least held-out loss, if that beats no trees by more than its standard error.
 * The scores make the interval cross-conformal (Vovk 2015) while none was predicted before it was measured.
 */
export function crossValidate(
  curve: Curve,
  prior: CurvePrior,
  samples: Samples,
  heldOut: readonly number[],
  fit: CurveFit,
  randomOf: (...path: (string | number)[]) => RandomGenerator,
  mostTrees = MAX_TREES,
): CrossValidation {
  const folds = assignFolds(heldOut)
  const results = folds.flatMap((fold, index) => holdOut(curve, prior, samples, fold, fit, randomOf('fold', index)))
  const choice = chooseTrees(results, Math.min(mostTrees, MAX_TREES))
  const scores = results.map(({ errors, deviation }) => Math.abs(errors[choice] ?? 0) / deviation)
  return { trees: choice * TREE_STEP, scores }
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
  const gains = assignFolds(heldOut).flatMap((fold) => {
    const training = without(samples, fold)
    const predicted = predictFold(curve, refitCurve(curve, prior, training, fit), samples, fold)
    const others = predictFold(curve, refitCurve(curve, otherPrior, training, otherFit), samples, fold)
    return predicted.map(({ error }, i) => Math.abs(error) - Math.abs(others[i]?.error ?? Number.POSITIVE_INFINITY))
  })
  const { gain, error } = gainOf(gains)
  return gain > SURE * error
}

function holdOut(
  curve: Curve,
  prior: CurvePrior,
  samples: Samples,
  fold: readonly number[],
  start: CurveFit,
  random: RandomGenerator,
): HeldOut[] {
  const training = without(samples, fold)
  const fit = refitCurve(curve, prior, training, start)
  const forest = growForest(training.kept, curveResiduals(curve, fit, training), MAX_TREES, random)
  return predictFold(curve, fit, samples, fold).map(({ error: curveError, deviation, kept }) => {
    let error = curveError
    const errors = [error]
    for (let tree = 0; tree < MAX_TREES; tree++) {
      error -= valueOfTree(forest, tree, kept)
      if ((tree + 1) % TREE_STEP === 0) errors.push(error)
    }
    return { errors, deviation }
  })
}

/** Error of t and its predicted deviation, by the curve alone. */
function predictFold(curve: Curve, fit: CurveFit, samples: Samples, fold: readonly number[]) {
  return fold.map((i) => {
    const kept = samples.kept[i] ?? []
    const { logRise, deviation } = predictCurve(curve, fit, kept)
    const error = (samples.logRises[i] ?? 0) - logRise
    return { kept, error, deviation: Math.hypot(deviation, samples.deviations[i] ?? 0) }
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

/** What the curve leaves unexplained of t; of samples on fewer windows the share that is not their noise. */
export function curveResiduals(curve: Curve, fit: CurveFit, samples: Samples): Float64Array {
  const scratch = createContributions(curve.scale.units.length)
  const sigmas = sigmasOf(samples, fit.noise)
  return samples.logRises.map((logRise, i) => {
    const reliability = 1 - ((samples.deviations[i] ?? 0) / (sigmas[i] ?? 1)) ** 2
    return reliability * (logRise - evaluateCurve(curve, fit.parameters, samples.kept[i] ?? [], scratch))
  })
}

function predictCurve(curve: Curve, fit: CurveFit, kept: readonly number[]) {
  const jacobian = new Float64Array(parameterCount(curve.scale.units.length))
  const scratch = createContributions(curve.scale.units.length)
  const logRise = evaluateCurve(curve, fit.parameters, kept, scratch, jacobian)
  const noise = noiseAt(fit.noise, riseOfLog(logRise))
  return { logRise, deviation: Math.sqrt(laplaceVariance(fit.covarianceRoot, jacobian) + noise ** 2) }
}

/** Index into `errors` of the best number of trees. */
function chooseTrees(results: readonly HeldOut[], mostTrees: number): number {
  const lossesAt = (choice: number) =>
    results.map(({ errors, deviation }) => Math.min(((errors[choice] ?? 0) / deviation) ** 2, 9))
  const none = lossesAt(0)
  let best = { choice: 0, gain: 0 }
  for (let choice = 1; choice <= mostTrees / TREE_STEP; choice++) {
    const { gain, error } = gainOf(lossesAt(choice).map((loss, i) => (none[i] ?? 0) - loss))
    if (gain > best.gain && gain > error) best = { choice, gain }
  }
  return best.choice
}

/** Mean gain and its standard error, which is not a number where there is only one. */
function gainOf(gains: readonly number[]): { readonly gain: number; readonly error: number } {
  const gain = gains.reduce((sum, value) => sum + value, 0) / gains.length
  const variance = gains.reduce((sum, value) => sum + (value - gain) ** 2, 0) / (gains.length - 1)
  return { gain, error: Math.sqrt(variance / gains.length) }
}
