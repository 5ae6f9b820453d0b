import {
  assignFolds,
  createTrainingSet,
  intervalFromHeldOut,
  type Predictor,
  type TrainPredictorOptions,
} from '@espalier/predictor'
import { createRandomGenerator } from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { createCnnPredictor } from './cnn-predictor.js'
import { createNetworkEvaluator } from './evaluate-network.js'
import { drawMaskImage, IMAGE_CHANNELS, IMAGE_WIDTH } from './mask-image.js'
import { trainNetwork } from './train-network.js'

/** A network is trained without each fold. */
const FOLDS = 4

/**
 * Trains the paper's kind of predictor: a small convolutional network on the mask matrices (arXiv
 * 2508.02381; layout and sizes are not published, ours are in `mask-image.ts` and `network-shape.ts`).
 *
 * Every network is trained without one fold of the evaluations, so that each evaluation is predicted by a network that
 * did not see it, which calibrates the interval; the predictor is the mean of these networks.
 *
 * @throws EspalierError EVALUATION_NOT_FINITE, POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE; REQUEST_INVALID when there
 * is no evaluation at all
 */
export async function trainCnnPredictor(options: Omit<TrainPredictorOptions, 'rankings'>): Promise<Predictor> {
  const { tf } = await loadTensorBackend()
  const units = options.model.modules.map((module) => module.units)
  const set = createTrainingSet(units, options.evaluations)
  const { mean, deviation } = momentsOf(set.logRises)
  const pixels = options.model.layers * IMAGE_WIDTH * IMAGE_CHANNELS
  const images = set.evaluations.map(({ kept }) => drawMaskImage(units, kept, new Float64Array(pixels)))
  const targets = Array.from(set.logRises, (value) => (value - mean) / deviation)
  const folds = assignFolds(set.free, FOLDS)
  const all = [...images.keys()]
  const networks = (folds.length > 0 ? folds : [[]]).map((fold, index) => {
    const indices = all.filter((i) => !fold.includes(i))
    const samples = { images: indices.map((i) => images[i] ?? []), targets: indices.map((i) => targets[i] ?? 0) }
    return trainNetwork(tf, options.model.layers, samples, createRandomGenerator(options.seed, 'cnn', index))
  })
  const heldOut = folds.flatMap((fold, index) => {
    const evaluate = createNetworkEvaluator(units, networks[index] ?? new Float32Array(0))
    return fold.map((i) => ({
      predicted: mean + deviation * evaluate(set.evaluations[i]?.kept ?? []),
      measured: set.logRises[i] ?? 0,
      honest: set.honestScores[i],
    }))
  })
  return createCnnPredictor({
    ...{ units, networks, targetMean: mean, targetDeviation: deviation },
    ...intervalFromHeldOut(heldOut),
    denseLogPerplexity: set.denseLogPerplexity,
    evaluations: images.length,
  })
}

/** Deviation 1 when all are the same. */
function momentsOf(values: Float64Array) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
  return { mean, deviation: Math.sqrt(variance) || 1 }
}
