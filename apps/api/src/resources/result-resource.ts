import type { SearchResult, SearchResultResource, SearchSettings } from '@espalier/contracts'
import { createPolicyFile, createPrunableModel } from '@espalier/pruning'
import type { ModelRow } from '@espalier/store'

/** What a search found, each policy also as a policy file. */
export function resultResource(
  result: SearchResult,
  settings: SearchSettings,
  row: Pick<ModelRow, 'shape' | 'hash'>,
): SearchResultResource {
  const model = createPrunableModel(row.shape)
  const { metric, compensation } = settings
  const { evaluations } = result
  return {
    dense: result.dense,
    evaluations: { ...evaluations, byWindows: evaluations.byWindows?.map((counted) => ({ ...counted })) },
    rounds: [...result.rounds],
    targets: result.targets.map((target) => ({
      ...target,
      keptUnits: [...target.keptUnits],
      uniform: { ...target.uniform, keptUnits: [...target.uniform.keptUnits] },
      policy: createPolicyFile(model, target.keptUnits, metric, compensation, row.hash ?? undefined),
    })),
  }
}
