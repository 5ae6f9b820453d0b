import { EspalierError } from '@espalier/contracts'
import { z } from 'zod'
import { parameterCount } from './curve-model.js'
import type { ModuleScale, ProbePoint } from './module-coordinates.js'
import type { Forest } from './regression-trees.js'

/** All that a trained predictor is. */
export interface PredictorState {
  readonly scale: ModuleScale
  readonly probes: readonly ProbePoint[]
  readonly denseLogPerplexity: number
  /** Of the curve model, in the order of `curve-model.ts`. */
  readonly parameters: Float64Array
  readonly noise: number
  /** K * K lower triangular; single precision, as stored. */
  readonly covarianceRoot: Float32Array
  readonly forest: Forest
  /** Half the width of the 90 % interval in predicted standard deviations of t. */
  readonly intervalScale: number
  readonly evaluations: number
  /** Its prior came from a related model; left out: it did not. */
  readonly related?: true | undefined
}

const finite = z.number()
const numbers = z.array(finite)
const base64 = z.base64()

/** Long tables as base64 of little-endian float32, so that a model of 160 modules stays at a few megabytes. */
const predictorJsonSchema = z.strictObject({
  format: z.literal('espalier-predictor/1'),
  evaluations: z.int().min(1),
  denseLogPerplexity: finite,
  modules: z
    .array(z.strictObject({ kind: z.enum(['attention', 'ffn']), units: z.int().min(1), removedShare: base64 }))
    .min(1),
  probes: z.array(z.strictObject({ damage: finite, spread: finite, logShare: finite, logRemoved: finite })),
  parameters: numbers,
  noise: finite,
  covarianceRoot: base64,
  forest: z.strictObject({
    roots: numbers,
    features: numbers,
    thresholds: numbers,
    left: numbers,
    values: numbers,
  }),
  intervalScale: finite,
  related: z.literal(true).optional(),
})
type CurvePredictorJson = z.infer<typeof predictorJsonSchema>

export function encodePredictorState(state: PredictorState): CurvePredictorJson {
  const { scale, forest } = state
  return {
    format: 'espalier-predictor/1',
    evaluations: state.evaluations,
    denseLogPerplexity: state.denseLogPerplexity,
    modules: scale.units.map((units, module) => ({
      kind: scale.kinds[module] === 1 ? 'ffn' : 'attention',
      units,
      removedShare: encodeFloats(scale.removedShare[module] ?? new Float32Array(0)),
    })),
    probes: state.probes.map((probe) => ({ ...probe })),
    parameters: [...state.parameters],
    noise: state.noise,
    covarianceRoot: encodeFloats(state.covarianceRoot),
    forest: {
      roots: [...forest.roots],
      features: [...forest.features],
      thresholds: [...forest.thresholds],
      left: [...forest.left],
      values: [...forest.values],
    },
    intervalScale: state.intervalScale,
    ...(state.related ? { related: true } : {}),
  }
}

/** @throws EspalierError INTERNAL when this is not a predictor that `encodePredictorState` wrote */
export function parsePredictorState(json: unknown): PredictorState {
  const parsed = predictorJsonSchema.safeParse(json)
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error))
  const { data } = parsed
  const modules = data.modules.length
  const state: PredictorState = {
    scale: {
      units: data.modules.map(({ units }) => units),
      kinds: data.modules.map(({ kind }) => (kind === 'ffn' ? 1 : 0)),
      removedShare: data.modules.map(({ removedShare }) => decodeFloats(removedShare)),
    },
    probes: data.probes,
    denseLogPerplexity: data.denseLogPerplexity,
    parameters: Float64Array.from(data.parameters),
    noise: data.noise,
    covarianceRoot: decodeFloats(data.covarianceRoot),
    forest: {
      roots: Int32Array.from(data.forest.roots),
      features: Int32Array.from(data.forest.features),
      thresholds: Float64Array.from(data.forest.thresholds),
      left: Int32Array.from(data.forest.left),
      values: Float64Array.from(data.forest.values),
    },
    intervalScale: data.intervalScale,
    evaluations: data.evaluations,
    ...(data.related ? { related: true } : {}),
  }
  checkLength('probes', data.probes.length, modules)
  checkLength('parameters', state.parameters.length, parameterCount(modules))
  checkLength('covarianceRoot', state.covarianceRoot.length, parameterCount(modules) ** 2)
  for (const [module, share] of state.scale.removedShare.entries()) {
    checkLength(`modules[${module}].removedShare`, share.length, (state.scale.units[module] ?? 0) + 1)
  }
  return state
}

function checkLength(name: string, found: number, expected: number): void {
  if (found !== expected) throw invalid(`${name} has ${found} numbers, expected ${expected}`)
}

function invalid(reason: string): EspalierError {
  return new EspalierError('INTERNAL', `The stored predictor is not of format espalier-predictor/1: ${reason}`)
}

function encodeFloats(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')
}

function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.byteLength / 4))
}
