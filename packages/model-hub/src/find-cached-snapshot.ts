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

export function refuseMissing(client: HubClient, cache: RepositoryCache, found: string): EspalierError {
  return new EspalierError(
    'MODEL_NOT_CACHED',
    `${client.describe()}: downloads are switched off (HF_HUB_OFFLINE), and ${cache.root} has ${found}. ` +
      'Download it once without HF_HUB_OFFLINE, or set HF_HOME to the folder that has it',
    { source: client.describe(), folder: cache.root, found },
  )
}
