import type { ModelResource } from '@espalier/contracts'
import { createPrunableModel } from '@espalier/pruning'
import type { ModelRow } from '@espalier/store'

export function modelResource(row: ModelRow): ModelResource {
  return {
    id: row.id,
    name: row.name,
    path: row.path,
    source: row.source,
    revision: row.revision,
    shape: row.shape,
    prunableParameters: createPrunableModel(row.shape).prunableParameters,
    hash: row.hash,
    createdAt: row.createdAt.toISOString(),
  }
}
