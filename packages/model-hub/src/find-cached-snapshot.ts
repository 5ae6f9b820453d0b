import { readdir, readFile } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import {
  chooseModelFiles,
  isModelFile,
  parseShardNames,
  singleWeightFile,
  weightIndexFile,
} from './choose-model-files.js'
import type { SourceFile } from './fetch-files.js'
import type { HubClient } from './hub-client.js'
import type { RepositoryCache } from './repository-cache.js'

/** A snapshot that is whole: everything needed to open the model is there. */
export interface CachedSnapshot {
  readonly commit: string
  readonly files: readonly SourceFile[]
}

/**
 * Finds a model in the cache without asking anybody.
 *
 * @throws EspalierError MODEL_NOT_CACHED with what is missing and where
 */
export async function findCachedSnapshot(client: HubClient, cache: RepositoryCache): Promise<CachedSnapshot> {
  const { revision } = client.repository
  const commit = await cache.findCommit(revision)
  if (commit === null) throw refuseMissing(client, cache, `no commit of revision "${revision}"`)
  const directory = cache.snapshot(commit)
  const names = (await readdir(directory).catch(() => [])).filter(isModelFile)
  if (names.length === 0) throw refuseMissing(client, cache, `no files of commit ${commit}`)
  const { companions, weights } = chooseModelFiles(names, directory)
  const shards =
    weights === singleWeightFile
      ? []
      : parseShardNames(await readFile(cache.file(commit, weightIndexFile), 'utf8'), directory)
  const files: SourceFile[] = []
  for (const name of [...companions, weights, ...shards]) {
    const bytes = await cache.findBytes(commit, name)
    if (bytes === null) throw refuseMissing(client, cache, `no ${name} of commit ${commit}`)
    files.push({ name, bytes, cached: true })
  }
  return { commit, files }
}

/**
 * The snapshot of a repository that is pinned to a commit, where it is whole: a commit never changes, so nobody needs to
 * be asked. null: it is to be downloaded, or its revision may move. What Espalier downloads gets its weights last, so
 * that a download that was cut is never taken for whole.
 */
export async function findWholeSnapshot(client: HubClient, cache: RepositoryCache): Promise<CachedSnapshot | null> {
  if ((await cache.findCommit(client.repository.revision)) !== client.repository.revision) return null
  const snapshot = await findCachedSnapshot(client, cache).catch((error: unknown) => {
    if (error instanceof EspalierError) return null
    throw error
  })
  return snapshot?.files.some(({ name }) => name === 'tokenizer.json') ? snapshot : null
}

export function refuseMissing(client: HubClient, cache: RepositoryCache, found: string): EspalierError {
  return new EspalierError(
    'MODEL_NOT_CACHED',
    `${client.describe()}: downloads are switched off (HF_HUB_OFFLINE), and ${cache.root} has ${found}. ` +
      'Download it once without HF_HUB_OFFLINE, or set HF_HOME to the folder that has it',
    { source: client.describe(), folder: cache.root, found },
  )
}
