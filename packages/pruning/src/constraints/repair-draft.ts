import type { RandomGenerator } from '../random-generator.js'
import { costOfUnits } from './limit-tables.js'
import type { PolicyDraft } from './policy-draft.js'
import { roundDown, stepDown, stepUp, type UnitDomain } from './unit-domain.js'

/**
 * Makes a draft of numbers of the domains allowed and full, by few changes from a random module on.
 * @param chunks how many units at most a module gives or takes at once
 * @param from modules before it stay as they are
 * @returns false where there is no such policy with these modules
 */
export function repairDraft(draft: PolicyDraft, chunks: Int32Array, random: RandomGenerator, from: number): boolean {
  draft.count()
  const among = draft.units.length - from
  const first = random.integer(among)
  if (draft.exceeded() >= 0 && !lowerAll(draft, chunks, from, first)) return false
  raiseAll(draft, chunks, from, random.integer(among))
  // Totals only grew since the modules from there on were found to have no room.
  return draft.isFull(from)
}

/** Takes away units by turns, from a first module on, until no limit is exceeded. */
function lowerAll(draft: PolicyDraft, chunks: Int32Array, from: number, first: number): boolean {
  const { limits, totals, units } = draft
  const among = units.length - from
  for (let limit = 0; limit < limits.count; limit++) {
    let still = 0
    for (let turn = first; (totals[limit] as number) > (limits.mostWithin[limit] as number); turn++) {
      const m = from + (turn % among)
      still = lower(draft, m, limit, chunks[m] as number) ? 0 : still + 1
      if (still === among) return false
    }
  }
  return true
}

/** Gives units by turns, from a first module on, until no module has room. */
function raiseAll(draft: PolicyDraft, chunks: Int32Array, from: number, first: number): void {
  const among = draft.units.length - from
  let groupsMayRise = draft.mayRise(0)
  let channelsMayRise = draft.mayRise(1)
  for (let still = 0, turn = first; still < among && (groupsMayRise || channelsMayRise); turn++) {
    still++
    const m = from + (turn % among)
    if (!(m % 2 === 0 ? groupsMayRise : channelsMayRise)) continue
    if (!raise(draft, m, chunks[m] as number)) continue
    still = 0
    groupsMayRise &&= draft.mayRise(0)
    channelsMayRise &&= draft.mayRise(1)
  }
}

/** Takes away units of a module that count in the limit: as many as are too many, up to a chunk; false: it has none. */
function lower(draft: PolicyDraft, m: number, limit: number, chunk: number): boolean {
  const { limits, totals } = draft
  const domain = draft.domains[m] as UnitDomain
  const before = draft.units[m] as number
  const cost = costOfUnits(limits, limit, m, before)
  if (before <= domain.lowest || costOfUnits(limits, limit, m, domain.lowest) >= cost) return false
  const others = (totals[limit] as number) - cost
  const most = limits.mostWithin[limit] as number
  const least = Math.max(domain.lowest, before - chunk)
  let next = before
  do next = stepDown(domain, next)
  while (next > least && others + costOfUnits(limits, limit, m, next) > most)
  if (costOfUnits(limits, limit, m, next) >= cost) return false
  draft.set(m, next)
  return true
}

/** Gives a module more units, up to a chunk; false when not even one step is possible. */
function raise(draft: PolicyDraft, m: number, chunk: number): boolean {
  const domain = draft.domains[m] as UnitDomain
  const before = draft.units[m] as number
  let low = draft.nextOf(m)
  if (low === before) return false
  let high = Math.min(domain.highest, before + chunk)
  while (low < high) {
    const next = Math.max(stepUp(domain, low), roundDown(domain, (low + high) / 2))
    if (next > high) break
    if (draft.fits(m, next)) low = next
    else high = stepDown(domain, next)
  }
  draft.set(m, low)
  return true
}
