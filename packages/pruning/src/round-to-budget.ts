import type { PruningModule } from './prunable-model.js'
import { minimumUnitsOf } from './sparsity-budget.js'

/**
 * Rounds the real kept groups to integers, in place, so that the channels can take up the rest of the budget: with A
 * groups removed and F channels removable, budget - F * channel <= A * group <= budget. Where rounding to the nearest
 * breaks that, the groups closest to the other integer move first.
 */
export function roundGroups(
  attention: readonly PruningModule[],
  ffn: readonly PruningModule[],
  kept: number[],
  budget: number,
): void {
  const group = attention[0]?.parametersPerUnit ?? 1
  const channels = ffn.reduce((sum, module) => sum + removableParametersOf(module), 0)
  const groups = attention.reduce((sum, module) => sum + module.units, 0)
  const most = Math.min(groups, Math.floor(budget / group))
  const least = Math.min(most, Math.max(0, Math.ceil((budget - channels) / group)))
  const real = attention.map((module) => kept[module.index] ?? 0)
  let removed = groups
  for (const module of attention) {
    const rounded = Math.round(kept[module.index] ?? 0)
    kept[module.index] = rounded
    removed -= rounded
  }
  const wanted = Math.min(most, Math.max(least, removed))
  moveUnits(attention, kept, real, removed - wanted)
}

/**
 * Sets the channels, in place, so that they remove what is left of the budget to less than one channel, by largest
 * remainders of the real kept channels.
 */
export function roundChannels(ffn: readonly PruningModule[], kept: number[], budget: number): void {
  const channel = ffn[0]?.parametersPerUnit ?? 1
  const all = ffn.reduce((sum, module) => sum + module.units, 0)
  const removable = ffn.reduce((sum, module) => sum + removableParametersOf(module), 0) / channel
  const wanted = all - Math.min(removable, Math.floor(budget / channel))
  const real = ffn.map((module) => kept[module.index] ?? 0)
  let total = 0
  for (const module of ffn) {
    // A real number within floating-point error of an integer is that integer, else a policy would not stay as it is.
    const rounded = Math.floor((kept[module.index] ?? 0) + 1e-6)
    kept[module.index] = rounded
    total += rounded
  }
  moveUnits(ffn, kept, real, wanted - total)
}

function removableParametersOf(module: PruningModule): number {
  return (module.units - minimumUnitsOf(module)) * module.parametersPerUnit
}

/** Adds `count` units in all (negative: takes away), one a module and turn, those farthest from `real` first. */
function moveUnits(modules: readonly PruningModule[], kept: number[], real: readonly number[], count: number): void {
  const step = Math.sign(count)
  const order = modules
    .map((module, position) => ({ module, gap: step * ((real[position] ?? 0) - (kept[module.index] ?? 0)) }))
    .sort((a, b) => b.gap - a.gap)
    .map(({ module }) => module)
  let left = Math.abs(count)
  while (left > 0) {
    const before = left
    for (const module of order) {
      const moved = (kept[module.index] ?? 0) + step
      if (left === 0) break
      if (moved < minimumUnitsOf(module) || moved > module.units) continue
      kept[module.index] = moved
      left--
    }
    if (left === before) return
  }
}
