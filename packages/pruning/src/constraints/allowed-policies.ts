import type { KeptUnits } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from '../prunable-model.js'
import type { RandomGenerator } from '../random-generator.js'
import type { CostLimit } from './constraint-rules.js'
import { type FillProblem, fillShares } from './fill-shares.js'
import { costOfUnits, createLimitTables, fits, setUnits, totalsOf } from './limit-tables.js'
import { isInDomain, roundDown, roundNearest, stepDown, stepUp, type UnitDomain } from './unit-domain.js'

/** Repair moves up to this share of a block at once. */
const LOCAL_SHARE = 1 / 16

/**
 * The policies that fulfil constraints: every module keeps a number of its domain, and no limit is exceeded. Those given
 * here are also full: no module could keep its next number without exceeding a limit.
 */
export class AllowedPolicies {
  readonly model: PrunableModel
  readonly domains: readonly UnitDomain[]
  readonly #bounds: Omit<FillProblem, 'shares'>
  readonly #groups: readonly number[]
  readonly #channels: readonly number[]

  /** @param domains of which the lowest numbers exceed no limit (see `checkFulfillable`) */
  constructor(model: PrunableModel, domains: readonly UnitDomain[], limits: readonly CostLimit[]) {
    this.model = model
    this.domains = domains
    this.#bounds = {
      limits: createLimitTables(limits),
      units: Float64Array.from(model.modules, ({ units }) => units),
      lowest: Float64Array.from(domains, ({ lowest }) => lowest),
      highest: Float64Array.from(domains, ({ highest }) => highest),
    }
    const indices = (kind: PruningModule['kind']) =>
      model.modules.filter((module) => module.kind === kind).map(({ index }) => index)
    this.#groups = indices('attention')
    this.#channels = indices('ffn')
  }

  /** Whether a policy, from wherever, fulfils the constraints. */
  has(kept: KeptUnits): boolean {
    if (kept.length !== this.domains.length) return false
    if (!this.domains.every((domain, m) => isInDomain(domain, kept[m] as number))) return false
    return this.#exceeded(totalsOf(this.#bounds.limits, kept)) < 0
  }

  /**
   * A full policy near to real wishes: kept shares moved by one common shift as far as the limits allow (see
   * `fillShares`), groups rounded to the nearest number, channels filled anew, and what is left of the limits given
   * away by largest remainders. A full policy stays as it is.
   */
  project(wanted: ArrayLike<number>): number[] {
    const given = Array.from(wanted)
    if (this.has(given) && this.#isFull(given, totalsOf(this.#bounds.limits, given))) return given
    const { units, lowest, limits } = this.#bounds
    const problem: FillProblem = { ...this.#bounds, shares: units.map((count, m) => (given[m] as number) / count) }
    const real = lowest.slice()
    fillShares(problem, [...this.#groups, ...this.#channels], real)
    const unrounded = real.slice()
    for (const m of this.#groups) real[m] = roundNearest(this.#domain(m), real[m] as number)
    for (const m of this.#channels) real[m] = lowest[m] as number
    this.#shrinkGroups(real, unrounded)
    if (limits.count > 0) fillShares(problem, this.#channels, real)
    const kept = Array.from(real)
    for (const m of this.#channels) {
      unrounded[m] = real[m] as number
      kept[m] = roundDown(this.#domain(m), real[m] as number)
    }
    this.#fill(kept, unrounded)
    return kept
  }

  /** The same share of every block, as far as domains and limits allow; what is left goes to the first layers. */
  uniform(): number[] {
    return this.project(this.#bounds.units)
  }

  /**
   * Makes any numbers of units an allowed and full policy, in place, by few changes from a random module on.
   * @param from modules before it stay as they are, and must be numbers of their domains; left out: none stay
   * @returns false where there is no such policy with these modules; the numbers are then of no use
   */
  repair(kept: number[], random: RandomGenerator, from = 0): boolean {
    const { limits } = this.#bounds
    const among = kept.length - from
    for (let m = from; m < kept.length; m++) {
      const domain = this.#domain(m)
      kept[m] = roundNearest(domain, Math.min(domain.highest, Math.max(domain.lowest, kept[m] as number)))
    }
    const totals = totalsOf(limits, kept)
    const first = random.integer(among)
    for (let limit = 0; limit < limits.count; limit++) {
      let still = 0
      for (let turn = 0; (totals[limit] as number) > (limits.mostWithin[limit] as number); turn++) {
        still = this.#lower(from + ((first + turn) % among), limit, kept, totals) ? 0 : still + 1
        if (still === among) return false
      }
    }
    const start = random.integer(among)
    for (let still = 0, turn = 0; still < among; turn++) {
      still = this.#raise(from + ((start + turn) % among), kept, totals) ? 0 : still + 1
    }
    return from === 0 || this.#isFull(kept, totals)
  }

  #domain(m: number): UnitDomain {
    return this.domains[m] as UnitDomain
  }

  /** The first limit that such totals exceed; -1: none. */
  #exceeded(totals: Float64Array): number {
    return totals.findIndex((total, limit) => total > (this.#bounds.limits.mostWithin[limit] as number))
  }

  /** Takes away units of a module that count in the limit: as many as are too many, up to a chunk; false: it has none. */
  #lower(m: number, limit: number, kept: number[], totals: Float64Array): boolean {
    const { limits } = this.#bounds
    const domain = this.#domain(m)
    const costOf = (units: number) => costOfUnits(limits, limit, m, units)
    const before = kept[m] as number
    const least = before - this.#chunkOf(m)
    const others = (totals[limit] as number) - costOf(before)
    const most = limits.mostWithin[limit] as number
    let next = before
    do next = stepDown(domain, next)
    while (next > domain.lowest && next > least && others + costOf(next) > most)
    if (costOf(next) >= costOf(before)) return false
    setUnits(limits, totals, kept, m, next)
    return true
  }

  /** Gives a module more units, up to a chunk; false when not even one step is possible. */
  #raise(m: number, kept: number[], totals: Float64Array): boolean {
    const { limits } = this.#bounds
    const domain = this.#domain(m)
    const before = kept[m] as number
    if (before >= domain.highest) return false
    let [low, next] = [before, stepUp(domain, before)]
    if (!fits(limits, totals, m, before, next)) return false
    let high = Math.min(domain.highest, before + this.#chunkOf(m))
    for (low = next; low < high; ) {
      next = Math.max(stepUp(domain, low), roundDown(domain, (low + high) / 2))
      if (next > high) break
      if (fits(limits, totals, m, before, next)) low = next
      else high = stepDown(domain, next)
    }
    setUnits(limits, totals, kept, m, low)
    return true
  }

  #chunkOf(m: number): number {
    return Math.max(this.#domain(m).multiple, Math.floor((this.#bounds.units[m] as number) * LOCAL_SHARE))
  }

  /** Whether no module of an allowed policy could keep its next number. */
  #isFull(kept: readonly number[], totals: Float64Array): boolean {
    for (let m = 0; m < kept.length; m++) {
      const before = kept[m] as number
      const next = stepUp(this.#domain(m), before)
      if (next !== before && fits(this.#bounds.limits, totals, m, before, next)) return false
    }
    return true
  }

  /** Groups that were rounded up too often go down again, those farthest above their real number first. */
  #shrinkGroups(rounded: Float64Array, real: Float64Array): void {
    const { limits } = this.#bounds
    const kept = Array.from(rounded)
    const totals = totalsOf(limits, kept)
    for (let limit = this.#exceeded(totals); limit >= 0; limit = this.#exceeded(totals)) {
      const costOf = (m: number, units: number) => costOfUnits(limits, limit, m, units)
      const lowered = this.#groups
        .map((m) => ({ m, next: stepDown(this.#domain(m), kept[m] as number) }))
        .filter(({ m, next }) => costOf(m, next) < costOf(m, kept[m] as number))
        .map(({ m, next }) => ({ m, next, over: (kept[m] as number) - (real[m] as number) }))
        .sort((a, b) => b.over - a.over || b.m - a.m)[0]
      if (!lowered) break
      setUnits(limits, totals, kept, lowered.m, lowered.next)
    }
    rounded.set(kept)
  }

  /** One step a module and turn while a limit allows it, largest remainder first, until none is possible. */
  #fill(kept: number[], real: Float64Array): void {
    const { limits } = this.#bounds
    const totals = totalsOf(limits, kept)
    const remainders = this.domains.map((domain, m) => {
      const units = kept[m] as number
      const step = stepUp(domain, units) - units
      return step > 0 ? ((real[m] as number) - units) / step : Number.NEGATIVE_INFINITY
    })
    const order = [...remainders.keys()].sort((a, b) => (remainders[b] as number) - (remainders[a] as number) || a - b)
    for (let isMoved = true; isMoved; ) {
      isMoved = false
      for (const m of order) {
        const before = kept[m] as number
        const next = stepUp(this.#domain(m), before)
        if (next === before || !fits(limits, totals, m, before, next)) continue
        setUnits(limits, totals, kept, m, next)
        isMoved = true
      }
    }
  }
}
