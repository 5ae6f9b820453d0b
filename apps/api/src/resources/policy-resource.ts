import type { PolicyResource } from '@espalier/contracts'
import type { PrunableModel } from '@espalier/pruning'
import type { PolicyRow } from '@espalier/store'

export function policyResource(row: PolicyRow, model: PrunableModel): PolicyResource {
  return {
    id: row.id,
    origin: row.origin,
    targetIndex: row.targetIndex,
    round: row.round,
    sparsity: row.sparsity,
    keptUnits: [...row.keptUnits],
    masks: model.modules.map(({ layer, kind, units, index }) => ({
      layer,
      kind,
      units,
      kept: row.keptUnits[index] ?? 0,
    })),
    bestPerplexity: row.perplexity,
    evaluations: [...row.evaluations],
    createdAt: row.createdAt.toISOString(),
  }
}
