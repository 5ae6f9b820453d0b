import { join } from 'node:path'
import { type ArtifactResource, nameOfTarget } from '@espalier/contracts'
import type { ArtifactRow, SearchRow } from '@espalier/store'

/** @param root of the artefact store */
export function artifactResource(row: ArtifactRow, search: SearchRow, root: string): ArtifactResource {
  const target = search.settings.targets[row.targetIndex] ?? 0
  const found = search.result?.targets.find(
    (result) => nameOfTarget(result.target ?? result.sparsityTarget) === nameOfTarget(target),
  )
  const files = `/v1/searches/${row.searchId}/artifacts/${row.id}/files`
  return {
    id: row.id,
    targetIndex: row.targetIndex,
    sparsityTarget: typeof target === 'number' ? target : (found?.sparsityTarget ?? null),
    ...(typeof target === 'number' ? {} : { target }),
    sparsity: found?.sparsity ?? null,
    format: row.format,
    parameters: row.parameters,
    bytes: row.files.reduce((sum, { bytes }) => sum + bytes, 0),
    compensationWritten: row.compensationWritten,
    note: row.note,
    perplexity: row.perplexity,
    expectedPerplexity: row.expectedPerplexity,
    directory: join(root, row.directory),
    files: row.files.map((file) => ({ ...file, url: `${files}/${encodeURIComponent(file.name)}` })),
    createdAt: row.createdAt.toISOString(),
  }
}
