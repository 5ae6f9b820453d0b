import { EspalierError } from '@espalier/contracts'
import { checkKept, type Predictor, predictionOf, riseOfLog } from '@espalier/predictor'
import { z } from 'zod'
import type { CnnState } from './cnn-state.js'
import { encodeCnnOnnx } from './encode-cnn-onnx.js'
import { createNetworkEvaluator } from './evaluate-network.js'
import { multiplicationsOf, weightLayout } from './network-shape.js'

export const CNN_FORMAT = 'espalier-cnn-predictor/1'
const finite = z.number()

/** Weights as base64 of little-endian float32. */
const cnnJsonSchema = z.strictObject({
  format: z.literal(CNN_FORMAT),
  units: z.array(z.int().min(1)).min(2),
  networks: z.array(z.base64()).min(1),
  targetMean: finite,
  targetDeviation: finite,
  denseLogPerplexity: finite,
  noise: finite,
  intervalScale: finite,
  evaluations: z.int().min(1),
})

/** The predictor that trained networks are. */
export function createCnnPredictor(state: CnnState): Predictor {
  const createLogRise = () => {
    const networks = state.networks.map((weights) => createNetworkEvaluator(state.units, weights))
    return (kept: ArrayLike<number>) => {
      const sum = networks.reduce((total, network) => total + network(kept), 0)
      return state.targetMean + (state.targetDeviation * sum) / networks.length
    }
  }
  const logRiseOf = createLogRise()
  return {
    summary: {
      evaluations: state.evaluations,
      residualSamples: 0,
      noise: state.noise,
      intervalScale: state.intervalScale,
    },
    scoreMultiplications: state.networks.length * multiplicationsOf(state.units.length / 2),
    predict(kept) {
      checkKept(state, kept)
      return predictionOf(state, logRiseOf(kept))
    },
    createScorer() {
      const scored = createLogRise()
      return (kept) => state.denseLogPerplexity + riseOfLog(scored(kept))
    },
    toJSON: () => ({ format: CNN_FORMAT, ...state, networks: state.networks.map(encodeWeights) }),
    toOnnx: () => encodeCnnOnnx(state),
  }
}

/**
 * Reads what `toJSON` of a CNN predictor wrote; the predictor is the same to the last bit.
 * @throws EspalierError INTERNAL when `json` is something else
 */
export function cnnPredictorFromJSON(json: unknown): Predictor {
  const parsed = cnnJsonSchema.safeParse(json)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
  const { format: _, ...state } = parsed.data
  const networks = state.networks.map(decodeWeights)
  const { size } = weightLayout(state.units.length / 2)
  const other = networks.find(({ length }) => length !== size)
  if (other) throw invalid(`a network has ${other.length} weights, expected ${size} for ${state.units.length} modules`)
  return createCnnPredictor({ ...state, networks })
}

function invalid(reason: string): EspalierError {
  return new EspalierError('INTERNAL', `The stored predictor is not of format ${CNN_FORMAT}: ${reason}`)
}

function encodeWeights(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')
}

function decodeWeights(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.byteLength / 4))
}
