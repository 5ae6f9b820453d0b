import type { ModulesOfKind, ProjectionArrays } from './projection-arrays.js'
import { sortByLargest } from './sort-by-largest.js'

/**
 * Rounds the real kept groups to integers, in place, so that the channels can take up the rest of the budget: with A
 * groups removed and F channels removable, budget - F * channel <= A * group <= budget. Where rounding to the nearest
 * breaks that, the groups closest to the other integer move first.
 */
export function roundGroups(arrays: ProjectionArrays, budget: number): void {
  const { attention, ffn } = arrays
  const group = attention.unitParameters
  const most = Math.min(attention.units, Math.floor(budget / group))
  const channels = ffn.removableUnits * ffn.unitParameters
  const least = Math.min(most, Math.max(0, Math.ceil((budget - channels) / group)))
  const removed = attention.units - roundEach(arrays, attention, Math.round)
  const wanted = Math.min(most, Math.max(least, removed))
  moveUnits(arrays, attention, removed - wanted)
}

/**
 * Sets the channels, in place, so that they remove what is left of the budget to less than one channel, by largest
 * remainders of the real kept channels.
 */
export function roundChannels(arrays: ProjectionArrays, budget: number): void {
  const { ffn } = arrays
  const wanted = ffn.units - Math.min(ffn.removableUnits, Math.floor(budget / ffn.unitParameters))
  // A real number within floating-point error of an integer is that integer, else a policy would not stay as it is.
  const total = roundEach(arrays, ffn, (real) => Math.floor(real + 1e-6))
  moveUnits(arrays, ffn, wanted - total)
}

/**
 * Rounds the kept units of the modules, and writes how far above the integers they were.
 * @returns the sum of the integers
 */
function roundEach(
  { kept, gaps }: ProjectionArrays,
  { indices }: ModulesOfKind,
  round: (real: number) => number,
): number {
  let total = 0
  for (let i = 0; i < indices.length; i++) {
    const m = indices[i] as number
    const real = kept[m] as number
    const rounded = round(real)
    kept[m] = rounded
    gaps[m] = real - rounded
    total += rounded
  }
  return total
}

/** Adds `count` units in all (negative: takes away), one a module and turn, those with the largest gap first. */
function moveUnits(arrays: ProjectionArrays, { indices }: ModulesOfKind, count: number): void {
  if (count === 0) return
  const { order, gaps, kept, minimum, units } = arrays
  const step = Math.sign(count)
  if (step < 0) for (const m of indices) gaps[m] = -(gaps[m] as number)
  order.set(indices)
  sortByLargest(order, indices.length, gaps)
  let left = Math.abs(count)
  while (left > 0) {
    const before = left
    for (let i = 0; i < indices.length && left > 0; i++) {
      const m = order[i] as number
      const moved = (kept[m] as number) + step
      if (moved < (minimum[m] as number) || moved > (units[m] as number)) continue
      kept[m] = moved
      left--
    }
    if (left === before) return
  }
}
