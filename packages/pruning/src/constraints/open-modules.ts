import { costOfNext, costOfReal, costOfUnits, type LimitTables } from './limit-tables.js'
import type { UnitDomain } from './unit-domain.js'

/**
 * Modules that are being filled by one common shift, and what a policy uses up of each limit at a shift.
 *
 * A search fills very often: what is the same each time is computed once, and arrays are used again. Module m is
 * attention where m is even, feed-forward where it is odd, and attention comes first.
 */
export class OpenModules {
  readonly #limits: LimitTables
  readonly #units: Float64Array
  readonly #lowest: Float64Array
  readonly #highest: Float64Array
  readonly #lowestShares: Float64Array
  readonly #highestShares: Float64Array
  /** Kept share that is wanted of each module. */
  #shares: Float64Array

  /** The first `#count` are open, of them the first `#groups` attention. */
  readonly #open: Int32Array
  readonly #isOpen: Uint8Array
  #count = 0
  #groups = 0
  /** Limits in which an open module counts; the others are full or not, whatever the shift. */
  readonly #touched: Int32Array
  #touchedCount = 0
  /** Of each limit: costs of what is not open, costs of all at the shift asked for last, their growth with the shift. */
  readonly #fixed: Float64Array
  readonly #totals: Float64Array
  readonly #slopes: Float64Array
  /** Of each open module at that shift: whole units, the part of one beyond them, units by which it grows. */
  readonly #wholes: Float64Array
  readonly #parts: Float64Array
  readonly #growths: Float64Array

  constructor(limits: LimitTables, units: Float64Array, domains: readonly UnitDomain[]) {
    this.#limits = limits
    this.#units = units
    this.#lowest = Float64Array.from(domains, ({ lowest }) => lowest)
    this.#highest = Float64Array.from(domains, ({ highest }) => highest)
    this.#lowestShares = this.#lowest.map((kept, m) => kept / (units[m] as number))
    this.#highestShares = this.#highest.map((kept, m) => kept / (units[m] as number))
    this.#shares = this.#lowestShares
    this.#open = new Int32Array(units.length)
    this.#isOpen = new Uint8Array(units.length)
    this.#touched = new Int32Array(limits.count)
    this.#fixed = new Float64Array(limits.count)
    this.#totals = new Float64Array(limits.count)
    this.#slopes = new Float64Array(limits.count)
    this.#wholes = new Float64Array(units.length)
    this.#parts = new Float64Array(units.length)
    this.#growths = new Float64Array(units.length)
  }

  get count(): number {
    return this.#count
  }

  /** @param modules which are opened, attention first */
  open(shares: Float64Array, modules: Int32Array): void {
    this.#shares = shares
    this.#open.set(modules)
    this.#count = modules.length
    this.#groups = 0
    for (const m of modules) if (m % 2 === 0) this.#groups++
  }

  /** Adds up what is not open: the real numbers of units of the other modules. */
  addOthers(real: Float64Array): void {
    this.#findTouched()
    const isOpen = this.#isOpen.fill(0)
    for (let i = 0; i < this.#count; i++) isOpen[this.#open[i] as number] = 1
    for (let index = 0; index < this.#touchedCount; index++) {
      const limit = this.#touched[index] as number
      let cost = this.#limits.fixed[limit] as number
      for (let m = 0; m < real.length; m++) {
        if (isOpen[m] === 0) cost += costOfReal(this.#limits, limit, m, real[m] as number)
      }
      this.#fixed[limit] = cost
    }
  }

  /** The shift up to which every open module keeps its least. */
  shiftOfFirst(): number {
    let shift = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#count; i++) {
      const m = this.#open[i] as number
      shift = Math.min(shift, (this.#lowestShares[m] as number) - (this.#shares[m] as number))
    }
    return shift
  }

  /** The shift from which on every open module keeps its most. */
  shiftOfLast(): number {
    let shift = Number.NEGATIVE_INFINITY
    for (let i = 0; i < this.#count; i++) {
      const m = this.#open[i] as number
      shift = Math.max(shift, (this.#highestShares[m] as number) - (this.#shares[m] as number))
    }
    return shift
  }

  /** Writes the units of the open modules at a shift. */
  writeUnits(shift: number, real: Float64Array): void {
    for (let i = 0; i < this.#count; i++) {
      const m = this.#open[i] as number
      const wanted = (this.#units[m] as number) * ((this.#shares[m] as number) + shift)
      real[m] = Math.min(this.#highest[m] as number, Math.max(this.#lowest[m] as number, wanted))
    }
  }

  /** Totals of the touched limits and their slopes at a shift. */
  addAt(shift: number): void {
    const [open, wholes, parts, growths] = [this.#open, this.#wholes, this.#parts, this.#growths]
    const [units, lowest, highest, shares] = [this.#units, this.#lowest, this.#highest, this.#shares]
    const count = this.#count
    for (let i = 0; i < count; i++) {
      const m = open[i] as number
      const all = units[m] as number
      const most = highest[m] as number
      const kept = Math.min(most, Math.max(lowest[m] as number, all * ((shares[m] as number) + shift)))
      const whole = Math.floor(kept)
      wholes[i] = whole
      parts[i] = kept - whole
      growths[i] = kept >= most ? 0 : all
    }
    for (let index = 0; index < this.#touchedCount; index++) {
      const limit = this.#touched[index] as number
      this.#totals[limit] = this.#fixed[limit] as number
      this.#slopes[limit] = 0
      this.#addKind(limit, 0, 0, this.#groups)
      this.#addKind(limit, 1, this.#groups, this.#count)
    }
  }

  /** The limit with the largest excess; -1: all are wholly free, or have no open module. */
  fullest(): number {
    let fullest = -1
    let most = -1
    for (let index = 0; index < this.#touchedCount; index++) {
      const excess = this.excessOf(this.#touched[index] as number)
      if (excess <= most) continue
      fullest = this.#touched[index] as number
      most = excess
    }
    return fullest
  }

  /** Growth of `excessOf` with the shift. */
  slopeOf(limit: number): number {
    return (this.#slopes[limit] as number) / (this.#limits.most[limit] as number)
  }

  /** How far the open modules are above a limit, as a share of it; negative below. */
  excessOf(limit: number): number {
    const most = this.#limits.most[limit] as number
    return ((this.#totals[limit] as number) - most) / most
  }

  /**
   * Leaves open what could still grow and counts in no limit that is exceeded at a shift.
   * @returns false where no such limit holds any module
   */
  closeHeld(shift: number, real: Float64Array): boolean {
    this.addAt(shift)
    this.#findHeld()
    let [free, left, groups] = [0, 0, 0]
    for (let i = 0; i < this.#count; i++) {
      const m = this.#open[i] as number
      if (this.#isHeld(m, real[m] as number)) continue
      free++
      if ((real[m] as number) >= (this.#highest[m] as number)) continue
      this.#open[left++] = m
      if (m % 2 === 0) groups++
    }
    const isAnyHeld = free < this.#count
    this.#count = left
    this.#groups = groups
    return isAnyHeld
  }

  #findTouched(): void {
    this.#touchedCount = 0
    for (let limit = 0; limit < this.#limits.count; limit++) {
      if (this.#isTouched(limit)) this.#touched[this.#touchedCount++] = limit
    }
  }

  #isTouched(limit: number): boolean {
    for (let i = 0; i < this.#count; i++) {
      const m = this.#open[i] as number
      if (this.#rises(limit, m, this.#lowest[m] as number)) return true
    }
    return false
  }

  /** Whether all units of a module cost more than these. */
  #rises(limit: number, m: number, kept: number): boolean {
    return costOfUnits(this.#limits, limit, m, this.#highest[m] as number) > costOfReal(this.#limits, limit, m, kept)
  }

  /** Of the touched limits only those stay that are exceeded. */
  #findHeld(): void {
    let held = 0
    for (let index = 0; index < this.#touchedCount; index++) {
      const limit = this.#touched[index] as number
      if (this.excessOf(limit) > 0) this.#touched[held++] = limit
    }
    this.#touchedCount = held
  }

  #isHeld(m: number, kept: number): boolean {
    for (let index = 0; index < this.#touchedCount; index++) {
      if (this.#rises(this.#touched[index] as number, m, kept)) return true
    }
    return false
  }

  /** Adds the open modules from one to another, all of a kind. */
  #addKind(limit: number, kind: number, from: number, to: number): void {
    const ofUnit = this.#limits.perUnit[2 * limit + kind] as number
    if (ofUnit === 0) return
    if (Number.isNaN(ofUnit)) this.#addByTable(limit, kind, from, to)
    else this.#addByUnit(limit, ofUnit, from, to)
  }

  #addByUnit(limit: number, ofUnit: number, from: number, to: number): void {
    const [wholes, parts, growths] = [this.#wholes, this.#parts, this.#growths]
    let total = this.#totals[limit] as number
    let slope = this.#slopes[limit] as number
    for (let i = from; i < to; i++) {
      total += (wholes[i] as number) * ofUnit
      total += (parts[i] as number) * ofUnit
      slope += (growths[i] as number) * ofUnit
    }
    this.#totals[limit] = total
    this.#slopes[limit] = slope
  }

  #addByTable(limit: number, kind: number, from: number, to: number): void {
    const table = this.#limits.tables[2 * limit + kind] as Float64Array
    let total = this.#totals[limit] as number
    let slope = this.#slopes[limit] as number
    for (let i = from; i < to; i++) {
      const whole = this.#wholes[i] as number
      total += table[whole] as number
      if (this.#growths[i] === 0) continue
      const next = costOfNext(table, whole)
      total += (this.#parts[i] as number) * next
      slope += (this.#growths[i] as number) * next
    }
    this.#totals[limit] = total
    this.#slopes[limit] = slope
  }
}
