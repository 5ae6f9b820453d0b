import { EspalierError } from '@espalier/contracts'
import { z } from 'zod'
import { parameterCount } from './curve-model.js'
import type { ModuleScale, ProbePoint } from './module-coordinates.js'
import type { ResidualProcess } from './residual-process.js'

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
  /** What is added to the curve; null: nothing. */
  readonly residual: ResidualProcess | null
  /** Half the width of the 90 % interval in predicted standard deviations of t. */
  readonly intervalScale: number
  readonly evaluations: number
  /** Its prior came from a related model; left out: it did not. */
  readonly related?: true | undefined
}

const PREDICTOR_FORMAT = 'espalier-predictor/2'
const EARLIER_FORMAT = 'espalier-predictor/1'

const finite = z.number()
const numbers = z.array(finite)
const base64 = z.base64()

/** Long tables as base64 of little-endian float32, so that a model of 160 modules stays at a few megabytes. */
const curveFields = {
  evaluations: z.int().min(1),
  denseLogPerplexity: finite,
  modules: z
    .array(z.strictObject({ kind: z.enum(['attention', 'ffn']), units: z.int().min(1), removedShare: base64 }))
    .min(1),
  probes: z.array(z.strictObject({ damage: finite, spread: finite, logShare: finite, logRemoved: finite })),
  parameters: numbers,
  noise: finite,
  covarianceRoot: base64,
  intervalScale: finite,
  related: z.literal(true).optional(),
}
const residualSchema = z.strictObject({
  smoothness: z.strictObject({ length: z.number().positive(), variance: z.number().positive(), noiseRatio: finite }),
  /** [sample, module]. */
  kept: base64,
  logRises: numbers,
  noise: numbers,
  weights: numbers,
})
const predictorJsonSchema = z.strictObject({
  format: z.literal(PREDICTOR_FORMAT),
  ...curveFields,
  residual: residualSchema.nullable(),
})
type CurvePredictorJson = z.infer<typeof predictorJsonSchema>

/** Of versions that added regression trees to the curve. What they added is left out: a search trains anew every round. */
const earlierJsonSchema = z
  .strictObject({ format: z.literal(EARLIER_FORMAT), ...curveFields, forest: z.unknown() })
  .transform(({ forest: _, ...fields }) => ({ ...fields, format: PREDICTOR_FORMAT, residual: null }))

export function encodePredictorState(state: PredictorState): CurvePredictorJson {
  const { scale, residual } = state
  return {
    format: PREDICTOR_FORMAT,
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
    residual: residual && encodeResidual(residual),
    intervalScale: state.intervalScale,
    ...(state.related ? { related: true } : {}),
  }
}

/** @throws EspalierError INTERNAL when this is not a predictor that `encodePredictorState` wrote */
export function parsePredictorState(json: unknown): PredictorState {
  const parsed = z.discriminatedUnion('format', [predictorJsonSchema, earlierJsonSchema]).safeParse(json)
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
    residual: data.residual && decodeResidual(data.residual, modules),
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

function encodeResidual({ smoothness, kept, logRises, noise, weights }: ResidualProcess) {
  return {
    smoothness: { ...smoothness },
    kept: encodeFloats(Float32Array.from(kept.flat())),
    logRises: [...logRises],
    noise: [...noise],
    weights: [...weights],
  }
}

function decodeResidual(json: z.infer<typeof residualSchema>, modules: number): ResidualProcess {
  const samples = json.weights.length
  const flat = [...decodeFloats(json.kept)]
  checkLength('residual.kept', flat.length, samples * modules)
  checkLength('residual.logRises', json.logRises.length, samples)
  checkLength('residual.noise', json.noise.length, samples)
  return {
    smoothness: json.smoothness,
    kept: json.weights.map((_, sample) => flat.slice(sample * modules, (sample + 1) * modules)),
    logRises: Float64Array.from(json.logRises),
    noise: Float64Array.from(json.noise),
    weights: Float64Array.from(json.weights),
  }
}

function checkLength(name: string, found: number, expected: number): void {
  if (found !== expected) throw invalid(`${name} has ${found} numbers, expected ${expected}`)
}

function invalid(reason: string): EspalierError {
  return new EspalierError('INTERNAL', `The stored predictor is not of format ${PREDICTOR_FORMAT}: ${reason}`)
}

function encodeFloats(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')
}

function decodeFloats(text: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(text, 'base64'))
  return new Float32Array(bytes.buffer, 0, Math.floor(bytes.byteLength / 4))
}
