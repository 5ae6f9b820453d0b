import type { CostLimit } from './constraint-rules.js'

/** The real numbers of units that are being filled. */
export interface FillProblem {
  readonly limits: readonly CostLimit[]
  readonly units: readonly number[]
  readonly lowest: readonly number[]
  readonly highest: readonly number[]
  /** Kept share that is wanted of each module. */
  readonly shares: readonly number[]
}

/**
 * Water-filling: x_m = clamp(units_m (share_m + t)) with one t for all modules of the list, as large as the limits allow.
 * Modules that a limit then holds stay there, the others go on. Between whole units costs are interpolated.
 * @param real numbers of units, in place; modules that are not in the list stay and count
 */
export function fillShares(problem: FillProblem, modules: readonly number[], real: number[]): void {
  const { units, lowest, highest, shares } = problem
  const unitsAt = (m: number, shift: number) =>
    Math.min(at(highest, m), Math.max(at(lowest, m), at(units, m) * (at(shares, m) + shift)))
  let open = modules
  let from = Math.min(...open.map((m) => at(lowest, m) / at(units, m) - at(shares, m)))
  while (open.length > 0) {
    const to = Math.max(...open.map((m) => at(highest, m) / at(units, m) - at(shares, m)))
    const isOpen = new Set(open)
    // A limit in which no open module counts is full or not, whatever the shift.
    const limits = problem.limits.filter((limit) =>
      open.some((m) => costAt(limit, m, at(highest, m)) > costAt(limit, m, at(lowest, m))),
    )
    const fixed = limits.map((limit) =>
      real.reduce((sum, kept, m) => (isOpen.has(m) ? sum : sum + costAt(limit, m, kept)), limit.cost.fixed),
    )
    const excessOf = (limit: CostLimit, index: number, shift: number) => {
      let total = at(fixed, index)
      for (const m of open) total += costAt(limit, m, unitsAt(m, shift))
      return (total - limit.most) / limit.most
    }
    const excess = (shift: number) => limits.reduce((most, limit, i) => Math.max(most, excessOf(limit, i, shift)), -1)
    const shift = largestShift(from, Math.max(from, to), excess)
    for (const m of open) real[m] = unitsAt(m, shift)
    if (shift >= to) return
    const held = limits.filter((limit, index) => excessOf(limit, index, shift + HELD) > 0)
    const left = open.filter(
      (m) => !held.some((limit) => costAt(limit, m, at(highest, m)) > costAt(limit, m, at(real, m))),
    )
    if (left.length === open.length) return
    open = left.filter((m) => at(real, m) < at(highest, m))
    from = shift
  }
}

/** A limit that a shift of this would break holds its modules. */
const HELD = 1e-7
const SHIFT_PRECISION = 1e-10
/** A share of a limit; far below what `exceeds` tells apart. */
const COST_PRECISION = 1e-12
const MOST_PASSES = 60

/**
 * Largest t in [low, high] at which a function that never falls is not above 0; `low` where there is none. Regula falsi
 * on the piecewise linear function, every third pass halves the bracket.
 */
function largestShift(low: number, high: number, excess: (shift: number) => number): number {
  let [below, above] = [low, high]
  let atAbove = excess(high)
  if (atAbove <= 0) return high
  let atBelow = excess(low)
  for (let pass = 1; pass <= MOST_PASSES && above - below > SHIFT_PRECISION && atBelow < -COST_PRECISION; pass++) {
    const secant = below + ((above - below) * -atBelow) / (atAbove - atBelow)
    const middle = pass % 3 === 0 || !(secant > below && secant < above) ? (below + above) / 2 : secant
    const value = excess(middle)
    if (value <= COST_PRECISION) [below, atBelow] = [middle, value]
    else [above, atAbove] = [middle, value]
  }
  return below
}

/** Cost of a module at a real number of units. */
function costAt({ cost }: CostLimit, module: number, kept: number): number {
  const table = module % 2 === 0 ? cost.attention : cost.ffn
  const whole = Math.floor(kept)
  const below = at(table, whole)
  return whole === kept ? below : below + (kept - whole) * (at(table, whole + 1) - below)
}

/** Element of an array whose length the caller knows: inner loops cannot afford a checked access. */
export function at(array: ArrayLike<number>, index: number): number {
  return array[index] as number
}
