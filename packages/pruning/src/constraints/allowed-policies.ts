import type { KeptUnits } from '@espalier/contracts'
import { copyUnits } from '../copy-units.js'
import type { PrunableModel, PruningModule } from '../prunable-model.js'
import type { RandomGenerator } from '../random-generator.js'
import { sortByLargest } from '../sort-by-largest.js'
import type { CostLimit } from './constraint-rules.js'
import { fillShares } from './fill-shares.js'
import { costOfUnits, createLimitTables } from './limit-tables.js'
import { OpenModules } from './open-modules.js'
import { PolicyDraft } from './policy-draft.js'
import { repairDraft } from './repair-draft.js'
import { isInDomain, roundDown, roundNearest, stepDown, type UnitDomain } from './unit-domain.js'

/** Repair moves up to this share of a block at once. */
const LOCAL_SHARE = 1 / 16

/**
 * The policies that fulfil constraints: every module keeps a number of its domain, and no limit is exceeded. Those given
 * here are also full: no module could keep its next number without exceeding a limit.
 */
export class AllowedPolicies {
  readonly model: PrunableModel
  readonly domains: readonly UnitDomain[]
  readonly #units: Float64Array
  readonly #groups: Int32Array
  readonly #channels: Int32Array
  readonly #groupsAndChannels: Int32Array
  readonly #chunks: Int32Array
  readonly #draft: PolicyDraft
  readonly #open: OpenModules
  /** Of the projection at work: wanted shares, real numbers of units, the share of its next step that each is off. */
  readonly #shares: Float64Array
  readonly #real: Float64Array
  readonly #remainders: Float64Array
  /** Modules that may be given a step, in the order in which they are. */
  readonly #order: Int32Array

  /** @param domains of which the lowest numbers exceed no limit (see `checkFulfillable`) */
  constructor(model: PrunableModel, domains: readonly UnitDomain[], limits: readonly CostLimit[]) {
    this.model = model
    this.domains = domains
    this.#units = Float64Array.from(model.modules, ({ units }) => units)
    const indices = (kind: PruningModule['kind']) =>
      model.modules.filter((module) => module.kind === kind).map(({ index }) => index)
    this.#groups = Int32Array.from(indices('attention'))
    this.#channels = Int32Array.from(indices('ffn'))
    this.#groupsAndChannels = Int32Array.from([...this.#groups, ...this.#channels])
    this.#chunks = Int32Array.from(domains, ({ multiple }, m) =>
      Math.max(multiple, Math.floor((this.#units[m] as number) * LOCAL_SHARE)),
    )
    const tables = createLimitTables(limits)
    this.#draft = new PolicyDraft(domains, tables)
    this.#open = new OpenModules(tables, this.#units, domains)
    this.#shares = new Float64Array(domains.length)
    this.#real = new Float64Array(domains.length)
    this.#remainders = new Float64Array(domains.length)
    this.#order = new Int32Array(domains.length)
  }

  /** Whether a policy, from wherever, fulfils the constraints. */
  has(kept: KeptUnits): boolean {
    return kept.length === this.domains.length && this.#draftAllowed(kept)
  }

  /**
   * A full policy near to real wishes: kept shares moved by one common shift as far as the limits allow (see
   * `fillShares`), groups rounded to the nearest number, channels filled anew, and what is left of the limits given
   * away by largest remainders. A full policy stays as it is.
   */
  project(wanted: ArrayLike<number>): number[] {
    const isFull = this.#draftAllowed(wanted) && this.#draft.isFull(this.domains.length)
    if (!isFull) this.#projectDraft(wanted)
    return copyUnits(this.#draft.units)
  }

  /** The same share of every block, as far as domains and limits allow; what is left goes to the first layers. */
  uniform(): number[] {
    return this.project(this.#units)
  }

  /**
   * Makes any numbers of units an allowed and full policy, in place, by few changes from a random module on.
   * @param from modules before it stay as they are, and must be numbers of their domains; left out: none stay
   * @returns false where there is no such policy with these modules; the numbers are then of no use
   */
  repair(kept: number[], random: RandomGenerator, from = 0): boolean {
    const { units } = this.#draft
    for (let m = 0; m < units.length; m++) {
      units[m] = m < from ? (kept[m] as number) : nearestOf(this.#domain(m), kept[m] as number)
    }
    const isRepaired = repairDraft(this.#draft, this.#chunks, random, from)
    for (let m = from; m < units.length; m++) if (kept[m] !== units[m]) kept[m] = units[m] as number
    return isRepaired
  }

  #domain(m: number): UnitDomain {
    return this.domains[m] as UnitDomain
  }

  /** Takes a policy over into the draft; false, and the draft is of no use, where it is not allowed. */
  #draftAllowed(kept: ArrayLike<number>): boolean {
    const { units } = this.#draft
    for (let m = 0; m < units.length; m++) {
      if (!isInDomain(this.#domain(m), kept[m] as number)) return false
      units[m] = kept[m] as number
    }
    this.#draft.count()
    return this.#draft.exceeded() < 0
  }

  #projectDraft(wanted: ArrayLike<number>): void {
    const { units } = this.#draft
    for (let m = 0; m < units.length; m++) {
      this.#shares[m] = (wanted[m] as number) / (this.#units[m] as number)
      this.#real[m] = this.#domain(m).lowest
    }
    this.#open.open(this.#shares, this.#groupsAndChannels)
    fillShares(this.#open, this.#real)
    this.#roundGroups()
    this.#roundChannels()
    this.#giveRest()
  }

  /** Groups to the nearest number; those that are too many then go down again, the farthest above their real one first. */
  #roundGroups(): void {
    const draft = this.#draft
    for (let m = 0; m < this.#real.length; m++) draft.units[m] = this.#domain(m).lowest
    for (const m of this.#groups) draft.units[m] = roundNearest(this.#domain(m), this.#real[m] as number)
    draft.count()
    for (let limit = draft.exceeded(); limit >= 0; limit = draft.exceeded()) {
      const m = this.#mostRoundedUp(limit)
      if (m < 0) break
      draft.set(m, stepDown(this.#domain(m), draft.units[m] as number))
    }
  }

  /** The group farthest above its real number, the last one of equals, of those that count in a limit; -1: none do. */
  #mostRoundedUp(limit: number): number {
    const { limits, units } = this.#draft
    let [found, most] = [-1, Number.NEGATIVE_INFINITY]
    for (const m of this.#groups) {
      const kept = units[m] as number
      const next = stepDown(this.#domain(m), kept)
      if (!(costOfUnits(limits, limit, m, next) < costOfUnits(limits, limit, m, kept))) continue
      const over = kept - (this.#real[m] as number)
      if (over >= most) [found, most] = [m, over]
    }
    return found
  }

  /** Channels as far as the rounded groups leave room, rounded down. */
  #roundChannels(): void {
    const { units } = this.#draft
    this.#open.open(this.#shares, this.#channels)
    fillShares(this.#open, units)
    for (const m of this.#channels) {
      this.#real[m] = units[m] as number
      units[m] = roundDown(this.#domain(m), this.#real[m] as number)
    }
  }

  /** One step a module and turn while a limit allows it, largest remainder first, until none is possible. */
  #giveRest(): void {
    const draft = this.#draft
    const order = this.#order
    for (let count = this.#orderByRemainder(); count > 0; ) {
      let left = 0
      for (let i = 0; i < count; i++) {
        const m = order[i] as number
        if (!draft.mayRise(m & 1)) continue
        const next = draft.nextOf(m)
        if (next === draft.units[m]) continue
        draft.set(m, next)
        order[left++] = m
      }
      count = left
    }
  }

  /** @returns how many modules have room; limits only fill up, so that the others will have none later */
  #orderByRemainder(): number {
    const draft = this.#draft
    draft.count()
    let count = 0
    for (let m = 0; m < this.#order.length; m++) {
      const kept = draft.units[m] as number
      const next = draft.nextOf(m)
      if (next === kept) continue
      this.#remainders[m] = ((this.#real[m] as number) - kept) / (next - kept)
      this.#order[count++] = m
    }
    sortByLargest(this.#order, count, this.#remainders)
    return count
  }
}

/** The number of a domain that is nearest to any number; most are one already, which is seen at once. */
function nearestOf(domain: UnitDomain, kept: number): number {
  const { lowest, highest, multiple } = domain
  if (kept <= lowest) return lowest
  if (kept >= highest) return highest
  return Math.floor(kept / multiple) * multiple === kept ? kept : roundNearest(domain, kept)
}
