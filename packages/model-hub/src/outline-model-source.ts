import { EspalierError } from '@espalier/contracts'
import { chooseModelFiles } from './choose-model-files.js'
import { fetchFiles } from './fetch-files.js'
import { findCachedSnapshot } from './find-cached-snapshot.js'
import { HubClient } from './hub-client.js'
import { createHubSettings, type HubSettings, type ModelHubOptions } from './model-hub-options.js'
import { type HubRepository, parseModelSource, withoutSecrets } from './parse-model-source.js'
import { RepositoryCache } from './repository-cache.js'

/** A model of the hub whose weights need not be on this machine. */
export interface OutlinedModelSource {
  /** `hf://org/name@revision`, the revision as it was asked for. */
  readonly source: string
  /** Commit that the revision has now. */
  readonly revision: string
  /** Folder with its `config.json`. */
  readonly directory: string
}

/**
 * Asks the hub what a model is, and downloads nothing but its `config.json`: pins the revision to a commit, and sees by
 * the names of the files whether the weights can be read and there is a tokenizer.
 *
 * @throws EspalierError as `resolveModelSource`; MODEL_SOURCE_INVALID for what is no repository of a model,
 *   MODEL_TOKENIZER_MISSING
 */
export async function outlineModelSource(source: string, options: ModelHubOptions): Promise<OutlinedModelSource> {
  options.signal?.throwIfAborted()
  const settings = createHubSettings(options)
  const client = await HubClient.create(parseRepository(source), settings)
  const cache = new RepositoryCache(client.repository, settings)
  const { commit, names } = await listModel(client, cache, settings)
  if (!names.includes('tokenizer.json')) throw refuseWithoutTokenizer(client.describe())
  await fetchFiles(['config.json'], commit, client, cache, settings)
  return { source: client.describe(), revision: commit, directory: cache.snapshot(commit) }
}

/**
 * The source that gives the same files for ever: `hf://org/name@commit`.
 * @throws EspalierError MODEL_SOURCE_INVALID
 */
export function pinModelSource(source: string, revision: string): string {
  return `hf://${parseRepository(source).id}@${revision}`
}

function parseRepository(source: string): HubRepository {
  const parsed = parseModelSource(source)
  if (parsed.kind === 'repository') return parsed.repository
  const expected = 'hf://org/name or hf://org/name@revision'
  const shown = withoutSecrets(source)
  throw new EspalierError('MODEL_SOURCE_INVALID', `"${shown}" is no model of the hub: expected ${expected}`, {
    source: shown,
    expected,
  })
}

async function listModel(client: HubClient, cache: RepositoryCache, settings: HubSettings) {
  if (settings.offline) {
    const { commit, files } = await findCachedSnapshot(client, cache)
    return { commit, names: files.map(({ name }) => name) }
  }
  const { commit, paths } = await client.list()
  return { commit, names: chooseModelFiles(paths, client.describe()).companions }
}

function refuseWithoutTokenizer(where: string): EspalierError {
  return new EspalierError('MODEL_TOKENIZER_MISSING', `${where}: expected tokenizer.json, found none`, {
    source: where,
    expected: 'tokenizer.json',
  })
}
