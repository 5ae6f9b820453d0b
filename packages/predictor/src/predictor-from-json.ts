import { createPredictor, type Predictor } from './create-predictor.js'
import { parsePredictorState } from './predictor-state.js'

/**
 * Reads what `Predictor.toJSON` wrote; the predictor is the same to the last bit.
 *
 * @throws EspalierError INTERNAL when `json` is something else
 */
export function predictorFromJSON(json: unknown): Predictor {
  return createPredictor(parsePredictorState(json))
}
