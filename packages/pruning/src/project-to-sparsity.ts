import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { nameOfModule, type PrunableModel, type PruningModule } from './prunable-model.js'
import { roundChannels, roundGroups } from './round-to-budget.js'
import { minimumUnitsOf, parametersToRemove } from './sparsity-budget.js'

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
  const attention = model.modules.filter((module) => module.kind === 'attention')
  const ffn = model.modules.filter((module) => module.kind === 'ffn')
  const shares = model.modules.map((module) => (wanted[module.index] ?? 0) / module.units)
  const keptParameters = model.prunableParameters - budget
  const kept = new Array<number>(model.modules.length).fill(0)
  shiftShares(model.modules, shares, keptParameters, kept)
  roundGroups(attention, ffn, kept, budget)
  const attentionParameters = parametersOf(attention, kept)
  shiftShares(ffn, shares, keptParameters - attentionParameters, kept)
  roundChannels(ffn, kept, budget - parametersOf(attention, unitsOf(model)) + attentionParameters)
  const isThere = isPolicy(model, wanted) && parametersOf(model.modules, wanted) === parametersOf(model.modules, kept)
  return isThere ? [...wanted] : kept
}

/** Whether these are counts within the bounds of a projected policy, one a module. */
function isPolicy(model: PrunableModel, wanted: readonly number[]): boolean {
  return (
    wanted.length === model.modules.length &&
    model.modules.every((module) => {
      const count = wanted[module.index] ?? Number.NaN
      return Number.isInteger(count) && count >= minimumUnitsOf(module) && count <= module.units
    })
  )
}

function unitsOf(model: PrunableModel): readonly number[] {
  return model.modules.map((module) => module.units)
}

function parametersOf(modules: readonly PruningModule[], kept: readonly number[]): number {
  return modules.reduce((sum, module) => sum + (kept[module.index] ?? 0) * module.parametersPerUnit, 0)
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
function shiftShares(
  modules: readonly PruningModule[],
  shares: readonly number[],
  parameters: number,
  kept: number[],
): void {
  const shift = findShift(modules, shares, parameters)
  for (const module of modules) {
    const wanted = module.units * ((shares[module.index] ?? 0) + shift)
    kept[module.index] = Math.min(module.units, Math.max(minimumUnitsOf(module), wanted))
  }
}

/**
 * The t with sum p_m clamp(share_m + t) = parameters. The left side is piecewise linear and grows with t, so Newton's
 * method, kept inside a bracket that shrinks, ends on it after a few passes.
 */
function findShift(modules: readonly PruningModule[], shares: readonly number[], parameters: number): number {
  let lower = Number.POSITIVE_INFINITY
  let upper = Number.NEGATIVE_INFINITY
  for (const module of modules) {
    const share = shares[module.index] ?? 0
    lower = Math.min(lower, minimumUnitsOf(module) / module.units - share)
    upper = Math.max(upper, 1 - share)
  }
  let shift = Math.min(upper, Math.max(lower, 0))
  for (let pass = 0; pass < mostPasses; pass++) {
    const { value, slope } = parametersAt(modules, shares, shift)
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

function parametersAt(modules: readonly PruningModule[], shares: readonly number[], shift: number) {
  let value = 0
  let slope = 0
  for (const module of modules) {
    const size = module.units * module.parametersPerUnit
    const lowest = minimumUnitsOf(module) / module.units
    const share = (shares[module.index] ?? 0) + shift
    if (share > lowest && share < 1) slope += size
    value += size * Math.min(1, Math.max(lowest, share))
  }
  return { value, slope }
}
