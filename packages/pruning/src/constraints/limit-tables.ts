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

/** The same at a real number of units, interpolated. */
export function costOfReal(limits: LimitTables, limit: number, module: number, kept: number): number {
  const whole = Math.floor(kept)
  const below = costOfUnits(limits, limit, module, whole)
  if (whole === kept) return below
  const slot = 2 * limit + (module & 1)
  const ofUnit = limits.perUnit[slot] as number
  const next = Number.isNaN(ofUnit) ? costOfNext(limits.tables[slot] as Float64Array, whole) : ofUnit
  return below + (kept - whole) * next
}

/** What the next unit adds. */
export function costOfNext(table: Float64Array, kept: number): number {
  return (table[kept + 1] as number) - (table[kept] as number)
}
