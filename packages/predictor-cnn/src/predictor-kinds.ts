import type { PredictorKind } from '@espalier/contracts'
import {
  type Predictor,
  predictorFromJSON,
  type TrainPredictorOptions,
  trainLinearPredictor,
  trainPredictor,
} from '@espalier/predictor'
import { CNN_FORMAT, cnnPredictorFromJSON } from './cnn-predictor.js'
import { trainCnnPredictor } from './train-cnn-predictor.js'

/** Trains a predictor; throws or rejects as `trainPredictor` throws. */
export type PredictorTrainer = (options: TrainPredictorOptions) => Predictor | Promise<Predictor>

/** The kinds of predictor that a search may use. */
export const predictorTrainers: Readonly<Record<PredictorKind, PredictorTrainer>> = {
  curve: trainPredictor,
  cnn: trainCnnPredictor,
  linear: trainLinearPredictor,
}

/**
 * Reads what `Predictor.toJSON` of any kind wrote; the predictor is the same to the last bit.
 * @throws EspalierError INTERNAL when `json` is something else
 */
export function anyPredictorFromJSON(json: unknown): Predictor {
  const isCnn = typeof json === 'object' && json !== null && 'format' in json && json.format === CNN_FORMAT
  return isCnn ? cnnPredictorFromJSON(json) : predictorFromJSON(json)
}
