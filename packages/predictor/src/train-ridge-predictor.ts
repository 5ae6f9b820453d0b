import { assignFolds } from './assign-folds.js'
import type { Predictor } from './create-predictor.js'
import { intervalFromHeldOut } from './held-out-interval.js'
import { createRidgePredictor, type RidgeFeatures, type RidgeState, ridgeFeaturesOf } from './ridge-predictor.js'
import { fitRidge, type RidgeFit } from './ridge-regression.js'
import type { TrainPredictorOptions } from './train-predictor.js'
import { createTrainingSet } from './training-set.js'

type RidgeOptions = Pick<TrainPredictorOptions, 'model' | 'evaluations'>

/**
 * Ridge regression of t = log(rise + 0.01) on the kept share of every module: what a predictor gains over this is worth
 * its effort.
 * @throws as `trainPredictor`
 */
export function trainLinearPredictor(options: RidgeOptions): Predictor {
  return trainRidgePredictor(options, 'shares')
}

/**
 * A smooth fit of t on s, s^2 and log(s + 0.02) of the sparsity s alone: knows nothing of which modules were pruned, so
 * its order of equally sparse policies is chance.
 * @throws as `trainPredictor`
 */
export function trainSparsityPredictor(options: RidgeOptions): Predictor {
  return trainRidgePredictor(options, 'sparsity')
}

function trainRidgePredictor({ model, evaluations }: RidgeOptions, features: RidgeFeatures): Predictor {
  const units = model.modules.map((module) => module.units)
  const shares = model.modules.map((module) => module.parametersPerUnit / model.prunableParameters)
  const set = createTrainingSet(units, evaluations)
  const inputs = set.evaluations.map(({ kept }) => ridgeFeaturesOf({ features, units, shares }, kept))
  const fitTo = (indices: readonly number[]) =>
    fitRidge(
      indices.map((i) => inputs[i] ?? []),
      indices.map((i) => set.logRises[i] ?? 0),
    )
  const all = [...inputs.keys()]
  const heldOut = assignFolds(set.free).flatMap((fold) => {
    const fit = fitTo(all.filter((i) => !fold.includes(i)))
    return fold.map((i) => ({
      predicted: valueAt(fit, inputs[i] ?? []),
      measured: set.logRises[i] ?? 0,
      honest: set.honestScores[i],
    }))
  })
  const { weights, intercept } = fitTo(all)
  const state: RidgeState = {
    ...{ features, units, shares, intercept, weights: [...weights] },
    ...intervalFromHeldOut(heldOut),
    denseLogPerplexity: set.denseLogPerplexity,
    evaluations: inputs.length,
  }
  return createRidgePredictor(state)
}

function valueAt({ weights, intercept }: RidgeFit, features: readonly number[]): number {
  return features.reduce((sum, x, j) => sum + x * (weights[j] ?? 0), intercept)
}
