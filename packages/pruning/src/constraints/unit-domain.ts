/**
 * The numbers of units that a module may keep: the multiples from `lowest` to `highest`, and `highest` itself, which is
 * no multiple where it is all units of the module.
 */
export interface UnitDomain {
  readonly lowest: number
  readonly highest: number
  readonly multiple: number
}

/** @returns undefined when no number fulfils all three */
export function createUnitDomain(
  units: number,
  { minimum, maximum, multiple }: { minimum: number; maximum: number; multiple: number },
): UnitDomain | undefined {
  const most = Math.min(units, maximum)
  const highest = most === units ? units : Math.floor(most / multiple) * multiple
  const lowest = Math.min(highest, Math.ceil(Math.max(0, minimum) / multiple) * multiple)
  return highest < 0 || lowest < minimum ? undefined : { lowest, highest, multiple }
}

/** Largest allowed number not above `units`, at least the lowest. Real numbers within 1e-6 of an integer are it. */
export function roundDown({ lowest, highest, multiple }: UnitDomain, units: number): number {
  if (units >= highest - 1e-6) return highest
  return Math.max(lowest, Math.floor((units + 1e-6) / multiple) * multiple)
}

export function roundNearest(domain: UnitDomain, units: number): number {
  const below = roundDown(domain, units)
  const above = stepUp(domain, below)
  return above - units < units - below ? above : below
}

/** The next allowed number, or the highest. */
export function stepUp({ highest, multiple }: UnitDomain, kept: number): number {
  return Math.min(highest, (Math.floor(kept / multiple) + 1) * multiple)
}

/** The allowed number before, or the lowest. */
export function stepDown({ lowest, multiple }: UnitDomain, kept: number): number {
  return Math.max(lowest, (Math.ceil(kept / multiple) - 1) * multiple)
}

export function isInDomain(domain: UnitDomain, kept: number): boolean {
  return Number.isInteger(kept) && kept >= domain.lowest && roundDown(domain, kept) === kept
}
