import { createPredictor, type Predictor } from './create-predictor.js'
import { parsePredictorState } from './predictor-state.js'
import { RIDGE_FORMAT, ridgePredictorFromJSON } from './ridge-predictor.js'

/**
 * Reads what `Predictor.toJSON` of a curve, linear or sparsity predictor wrote; the predictor is the same to the last
 * bit.
 *
 * @throws EspalierError INTERNAL when `json` is something else
 */
export function predictorFromJSON(json: unknown): Predictor {
  const isRidge = typeof json === 'object' && json !== null && 'format' in json && json.format === RIDGE_FORMAT
  return isRidge ? ridgePredictorFromJSON(json) : createPredictor(parsePredictorState(json))
}
