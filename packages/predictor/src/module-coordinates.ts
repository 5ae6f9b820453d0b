import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { remember } from '@espalier/pruning'

/** What the predictor needs to know about the modules of a model, in module order. */
export interface ModuleScale {
  /** Units a module. */
  readonly units: readonly number[]
  /** 0 attention, 1 feed-forward, a module. */
  readonly kinds: readonly (0 | 1)[]
  /** Length units + 1 a module: share of importance removed when k units are kept. Single precision, as stored. */
  readonly removedShare: readonly Float32Array[]
}

/** Point of a module's curve where its damage was probed; the curve is written relative to it. */
export interface ProbePoint {
  /** Rise of log-perplexity there, > 0. */
  readonly damage: number
  /** Standard deviation of log damage before any other evaluation is seen. */
  readonly spread: number
  readonly logShare: number
  readonly logRemoved: number
}

/** Every module's coordinates for every count of kept units, one after the other. */
export interface ModuleCoordinates {
  /** Where module m starts; its entry for k kept units is `offsets[m] + k`. */
  readonly offsets: Int32Array
  /** log(q / q50). */
  readonly logShare: Float64Array
  /** log(r / r50). */
  readonly logRemoved: Float64Array
  /** 2 r - 1, from -1 (nothing removed) to 1 (everything removed). */
  readonly removedCentred: Float64Array
}

/** Shares of importance below this are noise of the calibration. */
const SMALLEST_SHARE = 1e-4

/** log q and log r of a module with `kept` of its units; r = share of units removed, q = share of importance removed. */
export function logCoordinates(scale: ModuleScale, module: number, kept: number) {
  const share = scale.removedShare[module]?.[kept] ?? 0
  return { logShare: logOfShare(share), logRemoved: logOfRemoved(scale.units[module] ?? 0, kept) }
}

function logOfShare(share: number): number {
  return Math.log(Math.max(share, SMALLEST_SHARE))
}

/** Nothing removed has no logarithm; half a unit keeps it finite, and its damage is zero whatever it is. */
function logOfRemoved(units: number, kept: number): number {
  return Math.log(Math.max(units - kept, 0.5) / units)
}

function moduleOffsets(units: readonly number[]): Int32Array {
  const offsets = new Int32Array(units.length)
  units.reduce((start, count, module) => {
    offsets[module] = start
    return start + count + 1
  }, 0)
  return offsets
}

export function createCoordinates(scale: ModuleScale, probes: readonly ProbePoint[]): ModuleCoordinates {
  const offsets = moduleOffsets(scale.units)
  const size = scale.units.reduce((sum, units) => sum + units + 1, 0)
  const logShare = new Float64Array(size)
  const logRemoved = new Float64Array(size)
  const removedCentred = new Float64Array(size)
  // Modules of equally many units, which are most, have it in common.
  const removedOf = remember((units: number) =>
    Float64Array.from({ length: units + 1 }, (_, kept) => logOfRemoved(units, kept)),
  )
  for (const [module, units] of scale.units.entries()) {
    const [probe, shares, removed] = [probes[module], scale.removedShare[module], removedOf(units)]
    const start = offsets[module] ?? 0
    const [probedShare, probedRemoved] = [probe?.logShare ?? 0, probe?.logRemoved ?? 0]
    for (let kept = 0; kept <= units; kept++) {
      logShare[start + kept] = logOfShare(shares?.[kept] ?? 0) - probedShare
      logRemoved[start + kept] = (removed[kept] as number) - probedRemoved
      removedCentred[start + kept] = 2 * ((units - kept) / units) - 1
    }
  }
  return { offsets, logShare, logRemoved, removedCentred }
}

/** Refuses counts that the model does not have. */
export function checkKept(scale: Pick<ModuleScale, 'units'>, kept: KeptUnits): void {
  if (kept.length !== scale.units.length) {
    const message = `A policy of ${kept.length} modules was given to a predictor of ${scale.units.length} modules`
    throw new EspalierError('POLICY_LAYER_COUNT', message, { modules: kept.length, expected: scale.units.length })
  }
  for (const [module, count] of kept.entries()) {
    const units = scale.units[module] ?? 0
    if (Number.isInteger(count) && count >= 0 && count <= units) continue
    const message = `Module ${module} keeps ${count} units; the predictor knows 0 to ${units}`
    throw new EspalierError('POLICY_UNIT_OUT_OF_RANGE', message, { module, count, units })
  }
}
