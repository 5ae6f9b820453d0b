import type { KeptUnits } from '@espalier/contracts'
import type { PrunableModel } from '../prunable-model.js'
import type { RandomGenerator } from '../random-generator.js'
import { type CostLimit, exceeds } from './constraint-rules.js'
import { at, type FillProblem, fillShares } from './fill-shares.js'
import { costOf } from './resource-cost.js'
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
  readonly limits: readonly CostLimit[]
  readonly #bounds: Omit<FillProblem, 'shares'>

  /** @param domains of which the lowest numbers exceed no limit (see `checkFulfillable`) */
  constructor(model: PrunableModel, domains: readonly UnitDomain[], limits: readonly CostLimit[]) {
    this.model = model
    this.domains = domains
    this.limits = limits
    this.#bounds = {
      limits,
      units: model.modules.map(({ units }) => units),
      lowest: domains.map(({ lowest }) => lowest),
      highest: domains.map(({ highest }) => highest),
    }
  }

  /** Whether a policy, from wherever, fulfils the constraints. */
  has(kept: KeptUnits): boolean {
    return (
      kept.length === this.domains.length &&
      this.domains.every((domain, m) => isInDomain(domain, at(kept, m))) &&
      this.limits.every((limit) => !exceeds(costOf(limit.cost, kept), limit))
    )
  }

  /**
   * A full policy near to real wishes: kept shares moved by one common shift as far as the limits allow (see
   * `fillShares`), groups rounded to the nearest number, channels filled anew, and what is left of the limits given
   * away by largest remainders. A full policy stays as it is.
   */
  project(wanted: ArrayLike<number>): number[] {
    const { domains, limits } = this
    if (this.#isFull(wanted)) return Array.from(wanted)
    const shares = this.model.modules.map(({ units }, m) => at(wanted, m) / units)
    const problem: FillProblem = { ...this.#bounds, shares }
    const [groups, channels] = ['attention', 'ffn'].map((kind) =>
      this.model.modules.filter((module) => module.kind === kind).map(({ index }) => index),
    ) as [number[], number[]]
    const real = [...problem.lowest]
    fillShares(problem, [...groups, ...channels], real)
    const unrounded = [...real]
    for (const m of groups) real[m] = roundNearest(domains[m] as UnitDomain, at(real, m))
    for (const m of channels) real[m] = at(problem.lowest, m)
    this.#shrinkGroups(groups, real, unrounded)
    if (limits.length > 0) fillShares(problem, channels, real)
    for (const m of channels) {
      unrounded[m] = at(real, m)
      real[m] = roundDown(domains[m] as UnitDomain, at(real, m))
    }
    this.#fill(real, unrounded)
    return real
  }

  /** The same share of every block, as far as domains and limits allow; what is left goes to the first layers. */
  uniform(): number[] {
    return this.project(this.#bounds.units)
  }

  /** Makes any numbers of units an allowed and full policy, in place, by few changes from a random module on. */
  repair(kept: number[], random: RandomGenerator): void {
    const { domains, limits } = this
    domains.forEach((domain, m) => {
      kept[m] = roundNearest(domain, Math.min(domain.highest, Math.max(domain.lowest, at(kept, m))))
    })
    const totals = limits.map(({ cost }) => costOf(cost, kept))
    const first = random.integer(kept.length)
    limits.forEach((limit, index) => {
      for (let turn = 0; exceeds(at(totals, index), limit); turn++) {
        this.#lower((first + turn) % kept.length, limit, at(totals, index), kept, totals)
      }
    })
    const start = random.integer(kept.length)
    for (let still = 0, turn = 0; still < kept.length; turn++) {
      still = this.#raise((start + turn) % kept.length, kept, totals) ? 0 : still + 1
    }
  }

  /** Takes away units of a module that count in the limit: as many as are too many, up to a chunk. */
  #lower(m: number, limit: CostLimit, total: number, kept: number[], totals: number[]): void {
    const domain = this.domains[m] as UnitDomain
    const table = tableOf(limit, m)
    const before = at(kept, m)
    const least = before - this.#chunkOf(m)
    let next = before
    do next = stepDown(domain, next)
    while (next > domain.lowest && next > least && exceeds(total - at(table, before) + at(table, next), limit))
    if (at(table, next) < at(table, before)) this.#set(m, next, kept, totals)
  }

  /** Gives a module more units, up to a chunk; false when not even one step is possible. */
  #raise(m: number, kept: number[], totals: number[]): boolean {
    const domain = this.domains[m] as UnitDomain
    const before = at(kept, m)
    if (before >= domain.highest) return false
    let [low, next] = [before, stepUp(domain, before)]
    if (!this.#fits(m, before, next, totals)) return false
    let high = Math.min(domain.highest, before + this.#chunkOf(m))
    for (low = next; low < high; ) {
      next = Math.max(stepUp(domain, low), roundDown(domain, (low + high) / 2))
      if (next > high) break
      if (this.#fits(m, before, next, totals)) low = next
      else high = stepDown(domain, next)
    }
    this.#set(m, low, kept, totals)
    return true
  }

  #fits(m: number, before: number, next: number, totals: readonly number[]): boolean {
    for (let index = 0; index < this.limits.length; index++) {
      const limit = this.limits[index] as CostLimit
      const table = tableOf(limit, m)
      const rise = at(table, next) - at(table, before)
      if (rise > 0 && exceeds(at(totals, index) + rise, limit)) return false
    }
    return true
  }

  #set(m: number, next: number, kept: number[], totals: number[]): void {
    const before = at(kept, m)
    kept[m] = next
    for (let index = 0; index < totals.length; index++) {
      const table = tableOf(this.limits[index] as CostLimit, m)
      totals[index] = at(totals, index) + at(table, next) - at(table, before)
    }
  }

  #chunkOf(m: number): number {
    return Math.max(this.domains[m]?.multiple ?? 1, Math.floor(at(this.#bounds.units, m) * LOCAL_SHARE))
  }

  #isFull(wanted: ArrayLike<number>): boolean {
    const kept = Array.from(wanted)
    if (!this.has(kept)) return false
    const totals = this.limits.map(({ cost }) => costOf(cost, kept))
    return this.domains.every((domain, m) => {
      const next = stepUp(domain, at(kept, m))
      return next === at(kept, m) || !this.#fits(m, at(kept, m), next, totals)
    })
  }

  /** Groups that were rounded up too often go down again, those farthest above their real number first. */
  #shrinkGroups(groups: readonly number[], kept: number[], real: readonly number[]): void {
    for (const limit of this.limits) {
      const { cost } = limit
      while (exceeds(costOf(cost, kept), limit)) {
        const lowered = groups
          .map((m) => ({ m, next: stepDown(this.domains[m] as UnitDomain, at(kept, m)) }))
          .filter(({ m, next }) => at(cost.attention, next) < at(cost.attention, at(kept, m)))
          .map(({ m, next }) => ({ m, next, over: at(kept, m) - at(real, m) }))
          .sort((a, b) => b.over - a.over || b.m - a.m)[0]
        if (!lowered) return
        kept[lowered.m] = lowered.next
      }
    }
  }

  /** One step a module and turn while a limit allows it, largest remainder first, until none is possible. */
  #fill(kept: number[], real: readonly number[]): void {
    const totals = this.limits.map(({ cost }) => costOf(cost, kept))
    const order = this.domains
      .map((domain, m) => {
        const step = stepUp(domain, at(kept, m)) - at(kept, m)
        return { m, remainder: step > 0 ? (at(real, m) - at(kept, m)) / step : Number.NEGATIVE_INFINITY }
      })
      .sort((a, b) => b.remainder - a.remainder || a.m - b.m)
    for (let isMoved = true; isMoved; ) {
      isMoved = false
      for (const { m } of order) {
        const next = stepUp(this.domains[m] as UnitDomain, at(kept, m))
        if (next === at(kept, m) || !this.#fits(m, at(kept, m), next, totals)) continue
        this.#set(m, next, kept, totals)
        isMoved = true
      }
    }
  }
}

function tableOf({ cost }: CostLimit, module: number): Float64Array {
  return module % 2 === 0 ? cost.attention : cost.ffn
}
