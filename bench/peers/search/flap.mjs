/**
 * FLAP's global threshold (arXiv 2312.11983, structure `AL-AM`): the metric's scores of all input channels are
 * standardised within each module, a KV group has the mean of its channels, and the units with the highest scores of
 * the whole model stay, whichever module they are in. One policy a target; nothing is searched.
 */
import { channelImportance, parametersToRemove, projectToSparsity } from '@espalier/pruning'

export const flap = {
  name: 'flap',
  seeded: false,
  async search({ model, statistics, metric, targets, measure }) {
    const units = model.modules
      .flatMap((module) => standardScores(metric, statistics[module.index], module).map((score) => ({ module, score })))
      .sort((a, b) => b.score - a.score)
    for (const target of targets) {
      await measure([projectToSparsity(model, keepHighest(model, units, target), target)], target)
    }
  },
}

function standardScores(metric, statistics, module) {
  const importance = channelImportance(metric, statistics)
  const mean = importance.reduce((sum, value) => sum + value, 0) / importance.length
  const variance = importance.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (importance.length - 1)
  const channelsPerUnit = importance.length / module.units
  return Array.from({ length: module.units }, (_, unit) => {
    const channels = importance.subarray(unit * channelsPerUnit, (unit + 1) * channelsPerUnit)
    return channels.reduce((sum, value) => sum + (value - mean) / Math.sqrt(variance), 0) / channelsPerUnit
  })
}

/** Units by falling score until what the target keeps is full. */
function keepHighest(model, units, target) {
  const kept = model.modules.map(() => 0)
  let left = model.prunableParameters - parametersToRemove(model, target)
  for (const { module } of units) {
    left -= module.parametersPerUnit
    if (left < 0) break
    kept[module.index]++
  }
  return kept
}
