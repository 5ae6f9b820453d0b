import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { copyUnits } from './copy-units.js'
import { type ProjectionArrays, projectionArraysOf } from './projection-arrays.js'
import { nameOfModule, type PrunableModel } from './prunable-model.js'
import { roundChannels, roundGroups } from './round-to-budget.js'
import { parametersToRemove } from './sparsity-budget.js'

/**
 * The policy nearest to `wanted` at a sparsity.
 *
 * With x_m the kept share of module m, y_m the wanted one and p_m its parameters, it minimises sum p_m (x_m - y_m)^2
 * subject to sum p_m (1 - x_m) = budget and the bounds of x, whose solution is x_m = clamp(y_m + t) for one t.
 * KV groups are then rounded, and the channels, which are the smallest units, take up what is left of the budget
 * exactly, again by one common shift and largest remainders. A policy that is at the sparsity already stays as it is:
 * one within the bounds that keeps as many parameters as its projection would.
 *
 * The sparsity reached is at most the one wanted and less than one channel under it. Costs O(M log M),
 * however many units there are.
 *
 * @param wanted kept units of each module, real numbers; outside 0..units they are taken as the wish for more than all
 *   or less than none
 * @throws EspalierError SPARSITY_UNREACHABLE, POLICY_INVALID
 */
export function projectToSparsity(model: PrunableModel, wanted: readonly number[], sparsity: number): KeptUnits {
  const budget = parametersToRemove(model, sparsity)
  checkWanted(model, wanted)
  const arrays = projectionArraysOf(model)
  const { all, attention, ffn, units, shares, kept } = arrays
  for (let m = 0; m < shares.length; m++) shares[m] = (wanted[m] as number) / (units[m] as number)
  const keptParameters = model.prunableParameters - budget
  shiftShares(arrays, all, keptParameters)
  roundGroups(arrays, budget)
  const attentionParameters = parametersOf(arrays, attention.indices, kept)
  shiftShares(arrays, ffn.indices, keptParameters - attentionParameters)
  roundChannels(arrays, budget - attention.units * attention.unitParameters + attentionParameters)
  const isThere = isPolicy(arrays, wanted) && parametersOf(arrays, all, wanted) === parametersOf(arrays, all, kept)
  return isThere ? [...wanted] : copyUnits(kept)
}

/** Whether these are counts within the bounds of a projected policy, one a module. */
function isPolicy({ minimum, units }: ProjectionArrays, wanted: readonly number[]): boolean {
  if (wanted.length !== units.length) return false
  for (let m = 0; m < units.length; m++) {
    const count = wanted[m] as number
    if (!Number.isInteger(count) || count < (minimum[m] as number) || count > (units[m] as number)) return false
  }
  return true
}

function parametersOf({ unitParameters }: ProjectionArrays, modules: Int32Array, kept: ArrayLike<number>): number {
  let parameters = 0
  for (const m of modules) parameters += (kept[m] as number) * (unitParameters[m] as number)
  return parameters
}

function checkWanted(model: PrunableModel, wanted: readonly number[]): void {
  for (const module of model.modules) {
    if (Number.isFinite(wanted[module.index])) continue
    throw new EspalierError(
      'POLICY_INVALID',
      `The wanted units of ${nameOfModule(module)} are ${wanted[module.index]}; allowed is a finite number`,
      { layer: module.layer, kind: module.kind, value: String(wanted[module.index]) },
    )
  }
}

/** Writes the real kept units x_m = clamp(share_m + t) of the modules, with the t that keeps so many parameters. */
function shiftShares(arrays: ProjectionArrays, modules: Int32Array, parameters: number): void {
  const { units, minimum, shares, kept } = arrays
  const shift = findShift(arrays, modules, parameters)
  for (let i = 0; i < modules.length; i++) {
    const m = modules[i] as number
    const wanted = (units[m] as number) * ((shares[m] as number) + shift)
    kept[m] = Math.min(units[m] as number, Math.max(minimum[m] as number, wanted))
  }
}

/**
 * The t with sum p_m clamp(share_m + t) = parameters. The left side is piecewise linear and grows with t, so Newton's
 * method, kept inside a bracket that shrinks, ends on it after a few passes.
 */
function findShift(arrays: ProjectionArrays, modules: Int32Array, parameters: number): number {
  const { shares, lowestShares } = arrays
  let lower = Number.POSITIVE_INFINITY
  let upper = Number.NEGATIVE_INFINITY
  for (let i = 0; i < modules.length; i++) {
    const m = modules[i] as number
    lower = Math.min(lower, (lowestShares[m] as number) - (shares[m] as number))
    upper = Math.max(upper, 1 - (shares[m] as number))
  }
  let shift = Math.min(upper, Math.max(lower, 0))
  for (let pass = 0; pass < mostPasses; pass++) {
    const { value, slope } = parametersAt(arrays, modules, shift)
    if (Math.abs(value - parameters) <= 1e-12 * parameters) break
    if (value < parameters) lower = shift
    else upper = shift
    const next = shift + (parameters - value) / slope
    shift = next > lower && next < upper ? next : (lower + upper) / 2
  }
  return shift
}

/** Bisection alone needs 53 passes for all bits of a double. */
const mostPasses = 64

function parametersAt({ parameters, lowestShares, shares }: ProjectionArrays, modules: Int32Array, shift: number) {
  let value = 0
  let slope = 0
  for (let i = 0; i < modules.length; i++) {
    const m = modules[i] as number
    const size = parameters[m] as number
    const lowest = lowestShares[m] as number
    const share = (shares[m] as number) + shift
    if (share > lowest && share < 1) slope += size
    value += size * Math.min(1, Math.max(lowest, share))
  }
  return { value, slope }
}
