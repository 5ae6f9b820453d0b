import { type ArtifactResource, EspalierError, type SearchDetailResource } from '@espalier/contracts'
import type { ApiClient } from '../client/api-client.js'
import { artifactFolder, downloadArtifacts } from '../client/download-artifacts.js'
import { listArtifacts } from '../client/search-requests.js'
import { describeResult, type FinishedSearch, renderResult } from './render-result.js'
import { shortenPath } from './shorten-path.js'
import type { Terminal } from './terminal.js'

export interface ResultOptions {
  /** Where the pruned models go; null: they stay where the service has them. */
  readonly out: string | null
  readonly json: boolean
  readonly signal: AbortSignal
}

/**
 * Shows what an ended search has found, and exports it.
 * @throws EspalierError SEARCH_FAILED with the cause, when it failed or was cancelled
 */
export async function showResult(
  client: ApiClient,
  search: SearchDetailResource,
  { out, json, signal }: ResultOptions,
  terminal: Terminal,
): Promise<void> {
  if (search.state !== 'SUCCEEDED') throw unsuccessful(search)
  const artifacts = await listArtifacts(client, search.id)
  if (out !== null) await downloadArtifacts(client, artifacts, out, signal)
  const finished: FinishedSearch = {
    ...{ search, artifacts },
    folderOf: (artifact) => (out === null ? artifact.directory : artifactFolder(out, artifact)),
  }
  if (json) return terminal.print(JSON.stringify(describeResult(finished)))
  const shown = { ...finished, folderOf: (artifact: ArtifactResource) => shortenPath(finished.folderOf(artifact)) }
  terminal.print(renderResult(shown, terminal.colors).join('\n'))
}

function unsuccessful({ id, state, error, progress }: SearchDetailResource): EspalierError {
  const done = progress === null ? '' : ` after ${progress.evaluationsDone} evaluations, which are kept`
  const cause = error === null ? '' : `\n${error.code}: ${error.message}`
  return new EspalierError('SEARCH_FAILED', `Search ${id} ended as ${state}${done}${cause}`, error?.details ?? {})
}
