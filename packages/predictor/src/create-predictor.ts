import type { KeptUnits } from '@espalier/contracts'
import type { RandomGenerator } from '@espalier/pruning'
import { type Contributions, createContributions, evaluateCurve, evaluateLink, parameterCount } from './curve-model.js'
import { createDamageTables, createGrowthTable, type DamageTables } from './damage-tables.js'
import { encodePredictorOnnx } from './encode-predictor-onnx.js'
import { NORMAL_90 } from './interval-scale.js'
import { laplaceVariance } from './laplace-variance.js'
import { checkKept, createCoordinates, type ModuleCoordinates } from './module-coordinates.js'
import { type Prediction, predictionOf } from './prediction.js'
import { encodePredictorState, type PredictorState } from './predictor-state.js'
import { createResidualSurface, type Residual } from './residual-surface.js'
import { riseOfLog } from './rise.js'

export interface PredictorSummary {
  /** Different policies it learnt from. */
  readonly evaluations: number
  /** Policies that the residual process goes by; 0: the predictor has none. */
  readonly residualSamples: number
  /** Residual standard deviation of log(rise of log-perplexity + 0.01) around the curve model. */
  readonly noise: number
  /** Half the width of the 90 % interval in predicted standard deviations. */
  readonly intervalScale: number
  /** Its prior came from a related model, because that predicted better; left out: it did not. */
  readonly related?: true | undefined
}

/** Plain data; `format` says which kind of predictor wrote it. */
export interface PredictorJson {
  readonly format: string
}

/** What every kind of predictor is once it is trained. */
export interface Predictor {
  readonly summary: PredictorSummary
  /** Multiplications that a score takes, where they are so many that an agent must ask less; left out: few. */
  readonly scoreMultiplications?: number
  /** @throws EspalierError POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE */
  predict(kept: KeptUnits): Prediction
  /** The predicted log-perplexity alone, from tables; does not check `kept`. */
  createScorer(): (kept: ArrayLike<number>) => number
  /**
   * The same by parameters drawn from their posterior, which is as wide as the 90 % interval says. Left out: the kind has
   * no posterior.
   */
  readonly drawScorer?: (random: RandomGenerator) => (kept: ArrayLike<number>) => number
  /** Plain data for JSON, read back without loss by the `...FromJSON` of the kind that wrote it. */
  toJSON(): PredictorJson
  /** ONNX model: `kept` int64 [N, modules] -> `logPerplexity`, `low`, `high` float [N]. */
  toOnnx(): Uint8Array
}

const none: Residual = () => 0

/** @param coordinates of its scale and probes, where they are at hand */
export function createPredictor(state: PredictorState, coordinates?: ModuleCoordinates): Predictor {
  const { scale, probes } = state
  const curve = { scale, probes, coordinates: coordinates ?? createCoordinates(scale, probes) }
  const tables = createDamageTables(curve, state.parameters)
  const covarianceRoot = Float64Array.from(state.covarianceRoot)
  const { evaluations, residual, noise, intervalScale, related } = state
  const surface = residual && createResidualSurface(scale.units, residual)
  const residualOf = surface?.createResidual() ?? none
  return {
    summary: {
      evaluations,
      residualSamples: residual?.weights.length ?? 0,
      noise,
      intervalScale,
      ...(related ? { related } : {}),
    },
    predict: (kept) => predict(state, covarianceRoot, tables, residualOf, kept),
    createScorer: () => {
      const damageAt = (_: number, entry: number) => tables.damage[entry] ?? 0
      return createScorer(state, tables.offsets, damageAt, surface?.createResidual() ?? none)
    },
    drawScorer: (random) => {
      const parameters = drawParameters(state, random)
      const growth = createGrowthTable(curve, parameters)
      const damageAt = (module: number, entry: number) =>
        (probes[module]?.damage ?? 0) * Math.exp(growth[entry] ?? Number.NEGATIVE_INFINITY)
      const scratch = createContributions(scale.units.length)
      const curveAt = (kept: KeptUnits) => evaluateCurve(curve, parameters, kept, scratch)
      const drawn = surface?.draw(random, curveAt, intervalScale / NORMAL_90) ?? none
      return createScorer({ ...state, parameters }, tables.offsets, damageAt, drawn)
    },
    toJSON: () => encodePredictorState(state),
    toOnnx: () => encodePredictorOnnx(state, tables),
  }
}

/** From Laplace's approximation, with covariance R^T R for the root R: the fit + R^T z. */
function drawParameters({ parameters, covarianceRoot, intervalScale }: PredictorState, random: RandomGenerator) {
  const drawn = parameters.slice()
  const count = drawn.length
  for (let row = 0; row < count; row++) {
    const step = (random.normal() * intervalScale) / NORMAL_90
    for (let k = 0; k <= row; k++) drawn[k] = (drawn[k] ?? 0) + step * (covarianceRoot[row * count + k] ?? 0)
  }
  return drawn
}

function predict(
  state: PredictorState,
  covarianceRoot: Float64Array,
  tables: DamageTables,
  residualOf: Residual,
  kept: KeptUnits,
): Prediction {
  checkKept(state.scale, kept)
  const modules = kept.length
  const jacobian = new Float64Array(parameterCount(modules))
  const parts = lookUp(tables, kept, createContributions(modules))
  const curve = evaluateLink(state.scale.kinds, state.parameters, parts, jacobian)
  const logRise = curve + residualOf(kept)
  return predictionOf(state, logRise, laplaceVariance(covarianceRoot, jacobian))
}

function lookUp(tables: DamageTables, kept: ArrayLike<number>, parts: Contributions): Contributions {
  for (let module = 0; module < kept.length; module++) {
    const entry = (tables.offsets[module] ?? 0) + (kept[module] ?? 0)
    parts.damage[module] = tables.damage[entry] ?? 0
    parts.logRatio[module] = tables.logRatio[entry] ?? 0
    parts.mixtureSlope[module] = tables.mixtureSlope[entry] ?? 0
    parts.removedCentred[module] = tables.removedCentred[entry] ?? 0
  }
  return parts
}

/**
 * Remembers the last policy: most of those an agent asks about have nearly all modules in common with the one before.
 * @param damageAt of a module at an entry of the tables
 */
function createScorer(
  { scale, parameters, denseLogPerplexity }: PredictorState,
  offsets: Int32Array,
  damageAt: (module: number, entry: number) => number,
  residualOf: Residual,
): (kept: ArrayLike<number>) => number {
  const parts = createContributions(scale.units.length)
  const last = new Int32Array(scale.units.length).fill(-1)
  return (kept) => {
    for (let module = 0; module < last.length; module++) {
      const units = kept[module] ?? 0
      if (units === last[module]) continue
      last[module] = units
      parts.damage[module] = damageAt(module, (offsets[module] ?? 0) + units)
    }
    const logRise = evaluateLink(scale.kinds, parameters, parts) + residualOf(kept)
    return denseLogPerplexity + riseOfLog(logRise)
  }
}
