import { costOfNext, costOfReal, costOfUnits, type LimitTables } from './limit-tables.js'

/** The real numbers of units that are being filled. */
export interface FillProblem {
  readonly limits: LimitTables
  readonly units: Float64Array
  readonly lowest: Float64Array
  readonly highest: Float64Array
  /** Kept share that is wanted of each module. */
  readonly shares: Float64Array
}

/**
 * Water-filling: x_m = clamp(units_m (share_m + t)) with one t for all modules of the list, as large as the limits allow.
 * Modules that a limit then holds stay there, the others go on. Between whole units costs are interpolated.
 * @param real numbers of units, in place; modules that are not in the list stay and count
 */
export function fillShares(problem: FillProblem, modules: readonly number[], real: Float64Array): void {
  let open = modules
  let from = Math.min(...open.map((m) => shiftTo(problem, problem.lowest, m)))
  while (open.length > 0) {
    const to = Math.max(...open.map((m) => shiftTo(problem, problem.highest, m)))
    const filling = new Filling(problem, open, real)
    const shift = largestShift(from, Math.max(from, to), filling)
    for (const m of open) real[m] = unitsAt(problem, m, shift)
    if (shift >= to) return
    const left = filling.withRoom(shift, real)
    if (left.length === open.length) return
    open = left.filter((m) => (real[m] as number) < (problem.highest[m] as number))
    from = shift
  }
}

/** The shift at which a module keeps so many units. */
function shiftTo({ units, shares }: FillProblem, kept: Float64Array, m: number): number {
  return (kept[m] as number) / (units[m] as number) - (shares[m] as number)
}

function unitsAt({ units, lowest, highest, shares }: FillProblem, m: number, shift: number): number {
  const wanted = (units[m] as number) * ((shares[m] as number) + shift)
  return Math.min(highest[m] as number, Math.max(lowest[m] as number, wanted))
}

/** A limit that a shift of this would break holds its modules. */
const HELD = 1e-7

/** How far a common shift of the open modules is above or below the limits. */
class Filling {
  /** Growth of the excess with the shift, where it was asked for last. */
  slope = 0
  readonly #problem: FillProblem
  readonly #open: readonly number[]
  /** Limits in which an open module counts; the others are full or not, whatever the shift. */
  readonly #limits: readonly number[]
  /** Costs of what is not open, of the limits above. */
  readonly #fixed: Float64Array
  /** Units of the open modules at the shift asked for last. */
  readonly #real: Float64Array
  readonly #totals: Float64Array
  readonly #slopes: Float64Array

  constructor(problem: FillProblem, open: readonly number[], real: Float64Array) {
    this.#problem = problem
    this.#open = open
    const { limits, lowest, highest } = problem
    this.#limits = Array.from({ length: limits.count }, (_, limit) => limit).filter((limit) =>
      open.some(
        (m) => costOfReal(limits, limit, m, highest[m] as number) > costOfReal(limits, limit, m, lowest[m] as number),
      ),
    )
    const isOpen = new Uint8Array(real.length)
    for (const m of open) isOpen[m] = 1
    this.#fixed = Float64Array.from(this.#limits, (limit) => {
      let cost = limits.fixed[limit] as number
      for (let m = 0; m < real.length; m++) if (!isOpen[m]) cost += costOfReal(limits, limit, m, real[m] as number)
      return cost
    })
    this.#real = new Float64Array(open.length)
    this.#totals = new Float64Array(this.#limits.length)
    this.#slopes = new Float64Array(this.#limits.length)
  }

  /** The largest excess over the limits as a share of the limit; -1 without any. */
  excess(shift: number): number {
    this.#add(shift)
    let most = -1
    this.slope = 0
    for (let index = 0; index < this.#limits.length; index++) {
      const excess = this.#excessOf(index)
      if (excess <= most) continue
      most = excess
      this.slope = (this.#slopes[index] as number) / this.#mostOf(index)
    }
    return most
  }

  /** The open modules that no limit holds at a shift. */
  withRoom(shift: number, real: Float64Array): number[] {
    const { limits, highest } = this.#problem
    this.#add(shift + HELD)
    const held = this.#limits.filter((_, index) => this.#excessOf(index) > 0)
    const grows = (limit: number, m: number) =>
      costOfReal(limits, limit, m, highest[m] as number) > costOfReal(limits, limit, m, real[m] as number)
    return this.#open.filter((m) => !held.some((limit) => grows(limit, m)))
  }

  #excessOf(index: number): number {
    const most = this.#mostOf(index)
    return ((this.#totals[index] as number) - most) / most
  }

  #mostOf(index: number): number {
    return this.#problem.limits.most[this.#limits[index] as number] as number
  }

  /** Totals of all limits and their slopes at a shift. */
  #add(shift: number): void {
    const { limits, units, highest } = this.#problem
    const real = this.#real
    for (let position = 0; position < real.length; position++) {
      real[position] = unitsAt(this.#problem, this.#open[position] as number, shift)
    }
    for (let index = 0; index < this.#totals.length; index++) {
      const limit = this.#limits[index] as number
      let [total, slope] = [this.#fixed[index] as number, 0]
      for (let position = 0; position < real.length; position++) {
        const m = this.#open[position] as number
        const kept = real[position] as number
        const whole = Math.floor(kept)
        total += costOfUnits(limits, limit, m, whole)
        if (kept >= (highest[m] as number)) continue
        const next = costOfNext(limits, limit, m, whole)
        total += (kept - whole) * next
        slope += (units[m] as number) * next
      }
      this.#totals[index] = total
      this.#slopes[index] = slope
    }
  }
}

const SHIFT_PRECISION = 1e-10
/** A share of a limit; far below what `exceeds` tells apart. */
const COST_PRECISION = 1e-12
const MOST_PASSES = 60

/**
 * Largest t in [low, high] at which the excess, which never falls, is not above 0; `low` where there is none. The excess
 * is piecewise linear, so Newton's method, kept inside a bracket that shrinks, ends on it after a few passes. It begins
 * at 0, for wishes are near what they become.
 */
function largestShift(low: number, high: number, filling: Filling): number {
  let [below, above] = [low, high]
  let shift = Math.min(high, Math.max(low, 0))
  let isHighOpen = true
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    const excess = filling.excess(shift)
    if (excess <= COST_PRECISION) below = shift
    else above = shift
    if (Math.abs(excess) <= COST_PRECISION || above - below <= SHIFT_PRECISION) break
    const next = shift - excess / filling.slope
    if (next > below && next < above) shift = next
    else if (isHighOpen && above === high) [shift, isHighOpen] = [high, false]
    else shift = (below + above) / 2
  }
  return below
}
