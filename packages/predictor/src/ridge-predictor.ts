import { EspalierError } from '@espalier/contracts'
import { OnnxGraph } from '@espalier/tensor-files'
import { z } from 'zod'
import { addPredictionOutputs } from './add-prediction-outputs.js'
import type { Predictor } from './create-predictor.js'
import { checkKept } from './module-coordinates.js'
import { predictionOf } from './prediction.js'
import { riseOfLog } from './rise.js'

/** Keeps log(sparsity) finite for the dense model. */
const SPARSITY_OFFSET = 0.02

const finite = z.number()

const ridgeStateSchema = z.strictObject({
  /** `shares`: kept share of every module; `sparsity`: s, s^2, log(s + 0.02). */
  features: z.enum(['shares', 'sparsity']),
  units: z.array(z.int().min(1)).min(1),
  /** Share of the prunable parameters that one unit is, a module. */
  shares: z.array(finite),
  weights: z.array(finite),
  intercept: finite,
  denseLogPerplexity: finite,
  noise: finite,
  intervalScale: finite,
  evaluations: z.int().min(1),
})
export type RidgeState = z.infer<typeof ridgeStateSchema>
export type RidgeFeatures = RidgeState['features']

export const RIDGE_FORMAT = 'espalier-ridge-predictor/1'
const ridgeJsonSchema = ridgeStateSchema.extend({ format: z.literal(RIDGE_FORMAT) })

/** What the regression is on; `kept` is not checked. */
export function ridgeFeaturesOf(
  { features, units, shares }: Pick<RidgeState, 'features' | 'units' | 'shares'>,
  kept: ArrayLike<number>,
): number[] {
  if (features === 'shares') return units.map((count, module) => (kept[module] ?? 0) / count)
  const sparsity = units.reduce((sum, count, m) => sum + (count - (kept[m] ?? 0)) * (shares[m] ?? 0), 0)
  return [sparsity, sparsity ** 2, Math.log(sparsity + SPARSITY_OFFSET)]
}

/** The predictor that a trained linear model is. */
export function createRidgePredictor(state: RidgeState): Predictor {
  const logRiseOf = (kept: ArrayLike<number>) =>
    ridgeFeaturesOf(state, kept).reduce((sum, x, j) => sum + x * (state.weights[j] ?? 0), state.intercept)
  return {
    summary: {
      evaluations: state.evaluations,
      residualSamples: 0,
      noise: state.noise,
      intervalScale: state.intervalScale,
    },
    predict(kept) {
      checkKept(state, kept)
      return predictionOf(state, logRiseOf(kept))
    },
    createScorer: () => (kept) => state.denseLogPerplexity + riseOfLog(logRiseOf(kept)),
    toJSON: () => ({ format: RIDGE_FORMAT, ...state }),
    toOnnx: () => encodeRidgeOnnx(state),
  }
}

/** @throws EspalierError INTERNAL when `json` was not written by a linear or sparsity predictor */
export function ridgePredictorFromJSON(json: unknown): Predictor {
  const parsed = ridgeJsonSchema.safeParse(json)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
  const { format: _, ...state } = parsed.data
  const [modules, inputs] = [state.units.length, state.features === 'shares' ? state.units.length : 3]
  if (state.shares.length !== modules || state.weights.length !== inputs) {
    throw invalid(`${state.shares.length} shares and ${state.weights.length} weights for ${modules} modules`)
  }
  return createRidgePredictor(state)
}

function invalid(reason: string): EspalierError {
  return new EspalierError('INTERNAL', `The stored predictor is not of format ${RIDGE_FORMAT}: ${reason}`)
}

/** Opset 17: `kept` int64 [N, M] -> `logPerplexity`, `low`, `high` float [N]. */
function encodeRidgeOnnx(state: RidgeState): Uint8Array {
  const graph = new OnnxGraph('espalier_ridge_predictor')
  const modules = state.units.length
  const kept = graph.add('Cast', [graph.addInput('kept', 'int64', ['N', modules])], { to: { type: 'float' } })
  const features = state.features === 'shares' ? keptShares(graph, state, kept) : sparsityFeatures(graph, state, kept)
  const weights = graph.addInitializer('weights', 'float', [state.weights.length, 1], bytesOf(state.weights))
  const logRise = graph.add('Add', [graph.add('MatMul', [features, weights]), graph.float(state.intercept)])
  addPredictionOutputs(graph, state, logRise)
  return graph.encodeModel({ opset: 17, producer: 'espalier', irVersion: 8 })
}

function keptShares(graph: OnnxGraph, { units }: RidgeState, kept: string): string {
  return graph.add('Div', [kept, graph.float(Float32Array.from(units))])
}

function sparsityFeatures(graph: OnnxGraph, { units, shares }: RidgeState, kept: string): string {
  const removed = graph.add('Sub', [graph.float(Float32Array.from(units)), kept]) // [N, M]
  const shareOfUnit = graph.addInitializer('shares', 'float', [shares.length, 1], bytesOf(shares))
  const sparsity = graph.add('MatMul', [removed, shareOfUnit]) // [N, 1]
  const logarithm = graph.add('Log', [graph.add('Add', [sparsity, graph.float(SPARSITY_OFFSET)])])
  return graph.add('Concat', [sparsity, graph.add('Mul', [sparsity, sparsity]), logarithm], { axis: 1 }) // [N, 3]
}

function bytesOf(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}
