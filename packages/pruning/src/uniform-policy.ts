import type { KeptUnits } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from './prunable-model.js'
import { minimumUnitsOf, parametersToRemove } from './sparsity-budget.js'

/**
 * The same everywhere: each layer keeps ceil((1 - sparsity) * kvGroups) KV groups (whole groups are only removed as far
 * as the sparsity allows), the channels make up the rest evenly, and where they do not divide evenly the first layers
 * give one more. Reaches the sparsity within one channel.
 * @throws EspalierError SPARSITY_UNREACHABLE
 */
export function uniformPolicy(model: PrunableModel, sparsity: number): KeptUnits {
  const budget = parametersToRemove(model, sparsity)
  const attention = model.modules[0] as PruningModule
  const ffn = model.modules[1] as PruningModule
  const layers = model.layers
  const removableChannels = layers * (ffn.units - minimumUnitsOf(ffn))
  // Rounded so that (1 - sparsity) * groups within floating-point error of an integer is that integer.
  let groups = Math.ceil((1 - sparsity) * attention.units - 1e-9)
  const budgetOfChannels = () => budget - layers * (attention.units - groups) * attention.parametersPerUnit
  const groupsNeedToGo = () => budgetOfChannels() >= (removableChannels + 1) * ffn.parametersPerUnit
  const groupsMayGo = () => budgetOfChannels() >= layers * attention.parametersPerUnit
  while (groups > 0 && groupsNeedToGo() && groupsMayGo()) groups--
  const removed = Math.min(removableChannels, Math.floor(budgetOfChannels() / ffn.parametersPerUnit))
  let channelsLeft = layers * ffn.units - removed
  return model.modules.map((module) => {
    if (module.kind === 'attention') return groups
    const channels = Math.floor(channelsLeft / (layers - module.layer))
    channelsLeft -= channels
    return channels
  })
}
