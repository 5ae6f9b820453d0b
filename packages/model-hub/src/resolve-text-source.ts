import { HubClient } from './hub-client.js'
import { createHubSettings, type HubSettings, type ModelHubOptions } from './model-hub-options.js'
import { type HubRepository, parseModelSource } from './parse-model-source.js'
import { resolveDataFile } from './resolve-model-source.js'
import { resolveRepositoryFile } from './resolve-repository.js'

/**
 * A text that is a file of a data set of the hub, as a local one: `hf://datasets/org/name@revision/path`; what follows
 * `#` (which field and rows) stays behind it.
 *
 * @throws EspalierError as `resolveDataFile`
 */
export async function resolveTextSource(source: string, options: ModelHubOptions): Promise<string> {
  const { address, selection } = splitSelection(source)
  const { file } = await resolveDataFile(address, options)
  return file + selection
}

/**
 * The same source with the commit that its revision has now. Downloads nothing.
 *
 * @throws EspalierError as `resolveDataFile`
 */
export async function pinTextSource(source: string, options: ModelHubOptions): Promise<string> {
  const { address, selection } = splitSelection(source)
  const parsed = parseModelSource(address)
  // A local file as it is; a model is refused.
  if (parsed.kind !== 'dataset-file') return resolveTextSource(source, options)
  const { repository, path } = parsed
  const commit = await findCommit(repository, path, createHubSettings(options))
  return `hf://datasets/${repository.id}@${commit}/${path}${selection}`
}

async function findCommit(repository: HubRepository, path: string, settings: HubSettings): Promise<string> {
  if (settings.offline) return (await resolveRepositoryFile(repository, path, settings)).revision
  const client = await HubClient.create(repository, settings)
  return (await client.describeFile(path, repository.revision)).commit
}

function splitSelection(source: string): { readonly address: string; readonly selection: string } {
  const at = source.indexOf('#')
  return at < 0 ? { address: source, selection: '' } : { address: source.slice(0, at), selection: source.slice(at) }
}
