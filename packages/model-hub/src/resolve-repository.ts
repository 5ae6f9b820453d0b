import { readFile } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { chooseModelFiles, parseShardNames, singleWeightFile, weightIndexFile } from './choose-model-files.js'
import { fetchFiles, type SourceFile } from './fetch-files.js'
import { findCachedSnapshot, findWholeSnapshot, refuseMissing } from './find-cached-snapshot.js'
import { HubClient, type RepositoryListing } from './hub-client.js'
import type { HubSettings } from './model-hub-options.js'
import type { HubRepository } from './parse-model-source.js'
import { RepositoryCache } from './repository-cache.js'

export interface ResolvedRepository {
  readonly directory: string
  readonly revision: string
  readonly files: readonly SourceFile[]
}

/** A model of the hub, on this machine: its snapshot of one commit in the cache. */
export async function resolveRepository(repository: HubRepository, settings: HubSettings): Promise<ResolvedRepository> {
  const client = await HubClient.create(repository, settings)
  const cache = new RepositoryCache(repository, settings)
  if (settings.offline) {
    const { commit, files } = await findCachedSnapshot(client, cache)
    return { directory: cache.snapshot(commit), revision: commit, files }
  }
  const whole = await findWholeSnapshot(client, cache)
  if (whole !== null) return { directory: cache.snapshot(whole.commit), revision: whole.commit, files: whole.files }
  const listing = await client.list()
  const { commit } = listing
  const { companions, weights } = chooseModelFiles(listing.paths, client.describe())
  const shards = weights === singleWeightFile ? [] : await fetchShardNames(listing, client, cache, settings)
  const files = await fetchFiles([...companions, weights, ...shards], commit, client, cache, settings)
  await cache.rememberCommit(repository.revision, commit)
  return { directory: cache.snapshot(commit), revision: commit, files }
}

async function fetchShardNames(
  { commit, paths }: RepositoryListing,
  client: HubClient,
  cache: RepositoryCache,
  settings: HubSettings,
): Promise<readonly string[]> {
  const { onProgress: _, ...quiet } = settings
  await fetchFiles([weightIndexFile], commit, client, cache, quiet)
  const where = client.describe(weightIndexFile)
  const shards = parseShardNames(await readFile(cache.file(commit, weightIndexFile), 'utf8'), where)
  const absent = shards.find((shard) => !paths.includes(shard))
  if (absent === undefined) return shards
  throw new EspalierError('MODEL_FILE_INVALID', `${where}: it names ${absent}, which the repository does not have`, {
    file: where,
    found: absent,
  })
}

/** One file of a data set of the hub, on this machine. */
export async function resolveRepositoryFile(
  repository: HubRepository,
  path: string,
  settings: HubSettings,
): Promise<{ readonly file: string; readonly revision: string; readonly bytes: number }> {
  const client = await HubClient.create(repository, settings)
  const cache = new RepositoryCache(repository, settings)
  const known = await cache.findCommit(repository.revision)
  // A commit never changes: what it gave once needs no question.
  if (known !== null && (settings.offline || known === repository.revision)) {
    const bytes = await cache.findBytes(known, path)
    if (bytes !== null) return { file: cache.file(known, path), revision: known, bytes }
  }
  if (settings.offline) throw refuseMissing(client, cache, `no ${path} of revision "${repository.revision}"`)
  const { commit } = await client.describeFile(path, repository.revision)
  const [fetched] = await fetchFiles([path], commit, client, cache, settings)
  await cache.rememberCommit(repository.revision, commit)
  return { file: cache.file(commit, path), revision: commit, bytes: fetched?.bytes ?? 0 }
}
