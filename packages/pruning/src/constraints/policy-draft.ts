import { costOfUnits, type LimitTables } from './limit-tables.js'
import { stepUp, type UnitDomain } from './unit-domain.js'

/**
 * A policy that is being changed, and what it uses up of each limit. Search changes policies millions of times: a draft
 * is made once for all of them, so that nothing is allocated for each.
 */
export class PolicyDraft {
  readonly domains: readonly UnitDomain[]
  readonly limits: LimitTables
  /** Whole numbers of units; who writes to them calls `count` before anything else. */
  readonly units: Float64Array
  readonly totals: Float64Array
  /** At 2 l + (0 attention | 1 ffn), no more than any step of such a module adds to limit l. */
  readonly #leastRises: Float64Array

  constructor(domains: readonly UnitDomain[], limits: LimitTables) {
    this.domains = domains
    this.limits = limits
    this.units = new Float64Array(domains.length)
    this.totals = new Float64Array(limits.count)
    this.#leastRises = Float64Array.from(limits.perUnit, (ofUnit, slot) => {
      // A billionth less, for what rounding takes from a difference of costs.
      return Number.isNaN(ofUnit) ? 0 : leastStep(domains, slot & 1) * ofUnit * (1 - 1e-9)
    })
  }

  /** Adds up what the units use up. */
  count(): void {
    const { limits, units, totals } = this
    for (let limit = 0; limit < totals.length; limit++) {
      const ofGroup = limits.perUnit[2 * limit] as number
      const ofChannel = limits.perUnit[2 * limit + 1] as number
      let total = limits.fixed[limit] as number
      if (Number.isNaN(ofGroup) || Number.isNaN(ofChannel)) {
        for (let m = 0; m < units.length; m++) total += costOfUnits(limits, limit, m, units[m] as number)
      } else {
        for (let m = 0; m < units.length; m += 2) {
          total += (units[m] as number) * ofGroup
          total += (units[m + 1] as number) * ofChannel
        }
      }
      totals[limit] = total
    }
  }

  /** The first limit that is exceeded; -1: none. */
  exceeded(): number {
    const { limits, totals } = this
    for (let limit = 0; limit < totals.length; limit++) {
      if ((totals[limit] as number) > (limits.mostWithin[limit] as number)) return limit
    }
    return -1
  }

  /** Sets the units of a module and brings the totals up to date. */
  set(m: number, next: number): void {
    const { limits, units, totals } = this
    const before = units[m] as number
    units[m] = next
    for (let limit = 0; limit < totals.length; limit++) {
      const change = costOfUnits(limits, limit, m, next) - costOfUnits(limits, limit, m, before)
      totals[limit] = (totals[limit] as number) + change
    }
  }

  /** Whether a module may keep more units, `next`, without exceeding a limit that this brings it nearer to. */
  fits(m: number, next: number): boolean {
    const { limits, units, totals } = this
    const before = units[m] as number
    for (let limit = 0; limit < totals.length; limit++) {
      const rise = costOfUnits(limits, limit, m, next) - costOfUnits(limits, limit, m, before)
      if (rise > 0 && (totals[limit] as number) + rise > (limits.mostWithin[limit] as number)) return false
    }
    return true
  }

  /** The next number of units that a module may keep; where there is none, or a limit forbids it, those it keeps. */
  nextOf(m: number): number {
    const next = stepUp(this.domains[m] as UnitDomain, this.units[m] as number)
    return next !== this.units[m] && this.fits(m, next) ? next : (this.units[m] as number)
  }

  /** A quick look: false where a limit certainly forbids every step of the modules of a kind, 0 attention or 1 ffn. */
  mayRise(kind: number): boolean {
    const { limits, totals } = this
    for (let limit = 0; limit < totals.length; limit++) {
      const rise = this.#leastRises[2 * limit + kind] as number
      if (rise > 0 && (totals[limit] as number) + rise > (limits.mostWithin[limit] as number)) return false
    }
    return true
  }

  /** Whether none of the modules before `end` could keep its next number. */
  isFull(end: number): boolean {
    const mayRise = [this.mayRise(0), this.mayRise(1)]
    for (let m = 0; m < end; m++) {
      if (mayRise[m & 1] && this.nextOf(m) !== this.units[m]) return false
    }
    return true
  }
}

/** The smallest step between numbers of any module of a kind: below `highest` it may be less than the multiple. */
function leastStep(domains: readonly UnitDomain[], kind: number): number {
  let least = Number.POSITIVE_INFINITY
  for (let m = kind; m < domains.length; m += 2) {
    const { lowest, highest, multiple } = domains[m] as UnitDomain
    if (lowest < highest) least = Math.min(least, highest % multiple || multiple)
  }
  return least
}
