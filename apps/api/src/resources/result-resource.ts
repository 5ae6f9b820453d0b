import { methodOf, type SearchResult, type SearchResultResource, type SearchSettings } from '@espalier/contracts'
import { createPolicyFile, createPrunableModel } from '@espalier/pruning'
import type { ModelRow } from '@espalier/store'

/** What a search found, each policy also as a policy file. */
export function resultResource(
  result: SearchResult,
  settings: SearchSettings,
  row: Pick<ModelRow, 'shape' | 'hash'>,
): SearchResultResource {
  const model = createPrunableModel(row.shape)
  const policyFile = (keptUnits: readonly number[]) => {
    const { metric, compensation } = methodOf({ payload: { method: result.method ?? undefined }, settings })
    return createPolicyFile(model, keptUnits, metric, compensation, row.hash ?? undefined)
  }
  const { evaluations } = result
  return {
    dense: result.dense,
    evaluations: {
      ...{ total: evaluations.total, byWindows: evaluations.byWindows?.map((counted) => ({ ...counted })) },
      ...(evaluations.earlier === undefined ? {} : { earlier: evaluations.earlier }),
      seconds: evaluations.seconds ?? null,
      fitSeconds: evaluations.fitSeconds ?? null,
    },
    method: result.method ?? null,
    rounds: [...result.rounds],
    targets: result.targets.map((target) => ({
      ...target,
      keptUnits: [...target.keptUnits],
      uniform: { ...target.uniform, keptUnits: [...target.uniform.keptUnits] },
      compensations: [...(target.compensations ?? [])],
      policy: policyFile(target.keptUnits),
    })),
  }
}
