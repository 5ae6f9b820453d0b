import { type CostLimit, mostWithin } from './constraint-rules.js'

/** Limits in the form that inner loops read: for each the costs of a block of either kind by units kept. */
export interface LimitTables {
  readonly count: number
  /** Table 2 l + (0 attention | 1 ffn) of limit l. */
  readonly tables: readonly Float64Array[]
  /** In the same order, the cost of a unit where it is always the same, else not a number. */
  readonly perUnit: Float64Array
  readonly fixed: Float64Array
  readonly most: Float64Array
  /** What rounding may add to `most`; see `exceeds`. */
  readonly mostWithin: Float64Array
}

export function createLimitTables(limits: readonly CostLimit[]): LimitTables {
  const perUnit = limits.flatMap(({ cost: { perUnit } }) => [
    perUnit?.attention ?? Number.NaN,
    perUnit?.ffn ?? Number.NaN,
  ])
  return {
    count: limits.length,
    tables: limits.flatMap(({ cost }) => [cost.attention, cost.ffn]),
    perUnit: Float64Array.from(perUnit),
    fixed: Float64Array.from(limits, ({ cost }) => cost.fixed),
    most: Float64Array.from(limits, ({ most }) => most),
    mostWithin: Float64Array.from(limits, mostWithin),
  }
}

/** What a module at a whole number of units uses up of a limit. */
export function costOfUnits({ tables, perUnit }: LimitTables, limit: number, module: number, kept: number): number {
  const slot = 2 * limit + (module & 1)
  const ofUnit = perUnit[slot] as number
  return Number.isNaN(ofUnit) ? ((tables[slot] as Float64Array)[kept] as number) : kept * ofUnit
}

/** What the next unit adds to that. */
export function costOfNext({ tables, perUnit }: LimitTables, limit: number, module: number, kept: number): number {
  const slot = 2 * limit + (module & 1)
  const ofUnit = perUnit[slot] as number
  if (!Number.isNaN(ofUnit)) return ofUnit
  const table = tables[slot] as Float64Array
  return (table[kept + 1] as number) - (table[kept] as number)
}

/** The same at a real number of units, interpolated. */
export function costOfReal(limits: LimitTables, limit: number, module: number, kept: number): number {
  const whole = Math.floor(kept)
  const below = costOfUnits(limits, limit, module, whole)
  return whole === kept ? below : below + (kept - whole) * costOfNext(limits, limit, module, whole)
}

/** What a policy uses up of each limit. */
export function totalsOf(limits: LimitTables, kept: readonly number[]): Float64Array {
  const totals = limits.fixed.slice()
  for (let limit = 0; limit < limits.count; limit++) {
    let total = totals[limit] as number
    for (let m = 0; m < kept.length; m++) total += costOfUnits(limits, limit, m, kept[m] as number)
    totals[limit] = total
  }
  return totals
}

/** Whether a module may keep `next` units instead of `before` without exceeding a limit that this brings it nearer to. */
export function fits(limits: LimitTables, totals: Float64Array, m: number, before: number, next: number): boolean {
  for (let limit = 0; limit < limits.count; limit++) {
    const rise = costOfUnits(limits, limit, m, next) - costOfUnits(limits, limit, m, before)
    if (rise > 0 && (totals[limit] as number) + rise > (limits.mostWithin[limit] as number)) return false
  }
  return true
}

/** Sets the units of a module and brings the totals up to date. */
export function setUnits(limits: LimitTables, totals: Float64Array, kept: number[], m: number, next: number): void {
  const before = kept[m] as number
  kept[m] = next
  for (let limit = 0; limit < limits.count; limit++) {
    const change = costOfUnits(limits, limit, m, next) - costOfUnits(limits, limit, m, before)
    totals[limit] = (totals[limit] as number) + change
  }
}
