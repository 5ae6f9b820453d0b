import { mkdir } from 'node:fs/promises'
import { checkDiskSpace } from './check-disk-space.js'
import { downloadBlob } from './download-blob.js'
import type { HubClient, HubFile } from './hub-client.js'
import type { HubSettings } from './model-hub-options.js'
import { ProgressMeter } from './progress-meter.js'
import { findFileBytes, type RepositoryCache } from './repository-cache.js'
import { runLimited } from './run-limited.js'

/** A file of a model on this machine. */
export interface SourceFile {
  readonly name: string
  readonly bytes: number
  /** Whether it was there before. */
  readonly cached: boolean
}

/** Several paths can have the same contents; they are downloaded once. */
interface Wanted {
  readonly file: HubFile
  readonly paths: string[]
}

/**
 * Brings files of one commit into the cache: those that are not there, several at a time, each checked.
 *
 * @throws EspalierError MODEL_DISK_FULL before anything is downloaded, and what `downloadBlob` throws
 */
export async function fetchFiles(
  paths: readonly string[],
  commit: string,
  client: HubClient,
  cache: RepositoryCache,
  settings: HubSettings,
): Promise<readonly SourceFile[]> {
  const present = new Map<string, number>()
  for (const path of paths) {
    const bytes = await cache.findBytes(commit, path)
    if (bytes !== null) present.set(path, bytes)
  }
  const missing = paths.filter((path) => !present.has(path))
  const wanted = await describeFiles(missing, commit, client, settings)
  await mkdir(cache.blobs, { recursive: true })
  const meter = new ProgressMeter(client.describe(), settings.onProgress)
  for (const bytes of present.values()) meter.expect(bytes)
  for (const { file } of wanted) meter.expect(file.bytes)
  for (const bytes of present.values()) {
    meter.skip(bytes)
    meter.finishFile()
  }
  await checkSpace(wanted, client, cache)
  // Weights last: where they are whole, so is the model.
  for (const stage of [wanted.filter((one) => !hasWeights(one)), wanted.filter(hasWeights)]) {
    await runLimited(stage, settings.parallel, settings.signal, async (one, signal) => {
      await fetchOne(one, client, cache, { ...settings, signal }, meter)
      meter.finishFile()
    })
  }
  return Promise.all(
    paths.map(async (name) => ({
      name,
      bytes: (await cache.findBytes(commit, name)) ?? 0,
      cached: present.has(name),
    })),
  )
}

const hasWeights = ({ paths }: Wanted) => paths.some((path) => path.endsWith('.safetensors'))

async function describeFiles(
  paths: readonly string[],
  commit: string,
  client: HubClient,
  settings: HubSettings,
): Promise<readonly Wanted[]> {
  const byChecksum = new Map<string, Wanted>()
  await runLimited(paths, settings.parallel, settings.signal, async (path) => {
    const file = await client.describeFile(path, commit)
    const same = byChecksum.get(file.checksum.hex)
    if (same) same.paths.push(path)
    else byChecksum.set(file.checksum.hex, { file, paths: [path] })
  })
  // Largest first: the last file to end is then a small one.
  return [...byChecksum.values()].sort((a, b) => (b.file.bytes ?? 0) - (a.file.bytes ?? 0))
}

async function checkSpace(wanted: readonly Wanted[], client: HubClient, cache: RepositoryCache): Promise<void> {
  let needed = 0
  for (const { file } of wanted) {
    const blob = cache.blob(file.checksum.hex)
    const there = (await findFileBytes(blob)) ?? (await findFileBytes(`${blob}.incomplete`)) ?? 0
    needed += Math.max(0, (file.bytes ?? 0) - there)
  }
  await checkDiskSpace(cache.blobs, needed, client.describe())
}

async function fetchOne(
  { file, paths }: Wanted,
  client: HubClient,
  cache: RepositoryCache,
  settings: HubSettings,
  meter: ProgressMeter,
): Promise<void> {
  const { hex } = file.checksum
  const there = await findFileBytes(cache.blob(hex))
  // A blob appears under its name only whole and checked; one of another size has been tampered with.
  if (there !== null && (file.bytes === null || there === file.bytes)) meter.skip(there)
  else await downloadBlob(file, client, cache, settings, (change) => meter.add(change))
  await cache.place(hex, file.commit, paths)
}
