import type { KeptUnits } from '@espalier/contracts'
import type { ModuleCoordinates, ModuleScale, ProbePoint } from './module-coordinates.js'
import { RISE_OFFSET } from './rise.js'

/**
 * The curve model: damages of modules add up, and the sum bends into the rise of log-perplexity.
 *
 *   t     = a + P x + c (sqrt(4 + (x + 1.5)^2) - 2),  x = log(S + 0.01),  t = log(D + 0.01)
 *   S     = sum_m d_m
 *   log d_m = log s_m + w_m + g_k log u_m + (h_k + v_m) (2 r_m - 1)
 *   log u_m = alpha_k log(q_m / q50_m) + (1 - alpha_k) log(r_m / r50_m)
 *
 * s_m is the damage measured when module m alone was probed (about 50 %), r the share of units removed, q the share of
 * importance removed, k the module's kind. The hyperbola is a bend of the link between its two straight ends; v_m lets
 * every module's curve be steeper or flatter towards its end, which one exponent a kind cannot.
 *
 * Parameters, in this order: a, P, c, g, alpha and h (two each: attention, feed-forward), then w_m, then v_m.
 */
export const parameter = { intercept: 0, slope: 1, bend: 2, exponent: 3, mixture: 5, shape: 7, perModule: 9 } as const

export const parameterCount = (modules: number): number => parameter.perModule + 2 * modules

export const BEND_CENTRE = -1.5
export const BEND_WIDTH = 2

/** Largest exponent of a damage; keeps sums finite while a fit wanders. */
const MAX_EXPONENT = 30

/** The modules' parts in one policy: what the sum and its derivatives are made of. */
export interface Contributions {
  /** d_m; 0 where nothing is removed. */
  readonly damage: Float64Array
  /** log u_m = d log d_m / d g. */
  readonly logRatio: Float64Array
  /** g (log q - log r) = d log d_m / d alpha. */
  readonly mixtureSlope: Float64Array
  /** 2 r - 1 = d log d_m / d h = d log d_m / d v_m. */
  readonly removedCentred: Float64Array
}

export function createContributions(length: number): Contributions {
  return {
    damage: new Float64Array(length),
    logRatio: new Float64Array(length),
    mixtureSlope: new Float64Array(length),
    removedCentred: new Float64Array(length),
  }
}

/** A curve before its parameters are known. */
export interface Curve {
  readonly scale: ModuleScale
  readonly probes: readonly ProbePoint[]
  readonly coordinates: ModuleCoordinates
}

/** Writes module m's part at `kept` units into place `at` of `into`. */
export function contribute(
  curve: Curve,
  parameters: Float64Array,
  module: number,
  kept: number,
  into: Contributions,
  at: number,
): void {
  if (kept === curve.scale.units[module]) {
    into.damage[at] = 0
    into.logRatio[at] = 0
    into.mixtureSlope[at] = 0
    into.removedCentred[at] = 0
    return
  }
  const { offsets, logShare, logRemoved, removedCentred } = curve.coordinates
  const entry = (offsets[module] ?? 0) + kept
  const own = parametersOf(curve, parameters, module)
  const share = logShare[entry] ?? 0
  const removed = logRemoved[entry] ?? 0
  into.damage[at] = (curve.probes[module]?.damage ?? 0) * Math.exp(growthAt(curve.coordinates, own, entry))
  into.logRatio[at] = own.mixture * share + (1 - own.mixture) * removed
  into.mixtureSlope[at] = own.exponent * (share - removed)
  into.removedCentred[at] = removedCentred[entry] ?? 0
}

/** The parameters of one module's curve. */
interface ModuleParameters {
  /** g_k */
  readonly exponent: number
  /** alpha_k */
  readonly mixture: number
  /** h_k + v_m */
  readonly shape: number
  /** w_m */
  readonly level: number
}

export function parametersOf({ scale }: Curve, parameters: Float64Array, module: number): ModuleParameters {
  const modules = scale.units.length
  const kind = scale.kinds[module] ?? 0
  return {
    exponent: parameters[parameter.exponent + kind] ?? 0,
    mixture: parameters[parameter.mixture + kind] ?? 0,
    shape: (parameters[parameter.shape + kind] ?? 0) + (parameters[parameter.perModule + modules + module] ?? 0),
    level: parameters[parameter.perModule + module] ?? 0,
  }
}

/** log(d_m / s_m) at an entry of the coordinates, where something is removed. */
export function growthAt(
  { logShare, logRemoved, removedCentred }: ModuleCoordinates,
  { exponent, mixture, shape, level }: ModuleParameters,
  entry: number,
): number {
  const logRatio = mixture * (logShare[entry] ?? 0) + (1 - mixture) * (logRemoved[entry] ?? 0)
  return Math.min(level + exponent * logRatio + shape * (removedCentred[entry] ?? 0), MAX_EXPONENT)
}

/** t of one policy from its modules' parts, and, when given, dt/dparameters into `jacobian` from `start` on. */
export function evaluateLink(
  kinds: readonly (0 | 1)[],
  parameters: Float64Array,
  parts: Contributions,
  jacobian?: Float64Array,
  start = 0,
): number {
  const modules = kinds.length
  let sum = RISE_OFFSET
  for (let module = 0; module < modules; module++) sum += parts.damage[module] ?? 0
  const logSum = Math.log(sum)
  const root = Math.hypot(BEND_WIDTH, logSum - BEND_CENTRE)
  const slope = parameters[parameter.slope] ?? 0
  const bend = parameters[parameter.bend] ?? 0
  if (jacobian) {
    const gradient = (slope + (bend * (logSum - BEND_CENTRE)) / root) / sum
    jacobian.fill(0, start, start + parameterCount(modules))
    jacobian[start + parameter.intercept] = 1
    jacobian[start + parameter.slope] = logSum
    jacobian[start + parameter.bend] = root - BEND_WIDTH
    addModuleDerivatives(kinds, parts, gradient, jacobian, start)
  }
  return (parameters[parameter.intercept] ?? 0) + slope * logSum + bend * (root - BEND_WIDTH)
}

function addModuleDerivatives(
  kinds: readonly (0 | 1)[],
  parts: Contributions,
  gradient: number,
  jacobian: Float64Array,
  start: number,
): void {
  const modules = kinds.length
  const levels = start + parameter.perModule
  for (let module = 0; module < modules; module++) {
    const weight = gradient * (parts.damage[module] ?? 0)
    if (weight === 0) continue
    const kind = kinds[module] ?? 0
    const exponent = start + parameter.exponent + kind
    const mixture = start + parameter.mixture + kind
    const shape = start + parameter.shape + kind
    const bending = weight * (parts.removedCentred[module] ?? 0)
    jacobian[exponent] = (jacobian[exponent] ?? 0) + weight * (parts.logRatio[module] ?? 0)
    jacobian[mixture] = (jacobian[mixture] ?? 0) + weight * (parts.mixtureSlope[module] ?? 0)
    jacobian[shape] = (jacobian[shape] ?? 0) + bending
    jacobian[levels + module] = weight
    jacobian[levels + modules + module] = bending
  }
}

/** t of a policy, and its derivatives when asked; `scratch` has one place a module. */
export function evaluateCurve(
  curve: Curve,
  parameters: Float64Array,
  kept: KeptUnits,
  scratch: Contributions,
  jacobian?: Float64Array,
  start = 0,
): number {
  for (let module = 0; module < kept.length; module++) {
    contribute(curve, parameters, module, kept[module] ?? 0, scratch, module)
  }
  return evaluateLink(curve.scale.kinds, parameters, scratch, jacobian, start)
}
