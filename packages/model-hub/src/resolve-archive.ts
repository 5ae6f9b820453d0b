import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { z } from 'zod'
import { checkDiskSpace } from './check-disk-space.js'
import { extractArchive } from './extract-archive.js'
import type { SourceFile } from './fetch-files.js'
import { hashFile } from './hash-file.js'
import type { HubSettings } from './model-hub-options.js'
import { withoutSecrets } from './parse-model-source.js'
import { ProgressMeter } from './progress-meter.js'
import { findFileBytes } from './repository-cache.js'
import type { ResolvedRepository } from './resolve-repository.js'
import { transferFile } from './transfer-file.js'

/** What is remembered of an address: its ETag, and which contents it gave (null: not whole yet). */
const recordSchema = z.object({
  etag: z.string().nullable(),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
})
type ArchiveRecord = z.infer<typeof recordSchema>

/**
 * A model that lies as an archive at an address, on this machine: downloaded, checked against `sha256` when that is
 * given, unpacked under the hash of the archive. The same contents are not downloaded again while the server says,
 * by ETag, that they have not changed.
 *
 * @throws EspalierError MODEL_NOT_FOUND, MODEL_ACCESS_DENIED, MODEL_DOWNLOAD_FAILED, MODEL_CHECKSUM_MISMATCH,
 *   MODEL_ARCHIVE_INVALID, MODEL_UNREADABLE, MODEL_WEIGHTS_UNSAFE, MODEL_NOT_CACHED, MODEL_DISK_FULL
 */
export async function resolveArchive(
  url: string,
  sha256: string | null,
  settings: HubSettings,
): Promise<ResolvedRepository> {
  const download = new ArchiveDownload(url, settings)
  const record = await download.readRecord()
  const known = await download.findUnpacked(sha256 ?? record?.sha256 ?? null)
  if (known !== null && (sha256 !== null || settings.offline)) return known
  if (settings.offline) {
    throw new EspalierError(
      'MODEL_NOT_CACHED',
      `${download.what}: downloads are switched off (HF_HUB_OFFLINE), and ${settings.archives} does not have it. ` +
        'Download it once without HF_HUB_OFFLINE',
      { source: download.what, folder: settings.archives },
    )
  }
  return download.fetch(known, record, sha256)
}

class ArchiveDownload {
  readonly what: string
  readonly #url: string
  readonly #settings: HubSettings
  readonly #incomplete: string
  readonly #recordFile: string

  constructor(url: string, settings: HubSettings) {
    this.what = withoutSecrets(url)
    this.#url = url
    this.#settings = settings
    const key = createHash('sha256').update(url).digest('hex').slice(0, 32)
    this.#incomplete = join(settings.archives, 'downloads', `${key}.incomplete`)
    this.#recordFile = join(settings.archives, 'downloads', `${key}.json`)
  }

  async readRecord(): Promise<ArchiveRecord | null> {
    const text = await readFile(this.#recordFile, 'utf8').catch(() => 'null')
    try {
      return recordSchema.safeParse(JSON.parse(text)).data ?? null
    } catch {
      return null
    }
  }

  async findUnpacked(sha256: string | null): Promise<ResolvedRepository | null> {
    if (sha256 === null) return null
    const directory = this.#folder(sha256)
    if ((await findFileBytes(join(directory, 'config.json'))) === null) return null
    return { directory, revision: sha256, files: await listFiles(directory, true) }
  }

  async fetch(
    known: ResolvedRepository | null,
    record: ArchiveRecord | null,
    expected: string | null,
  ): Promise<ResolvedRepository> {
    await mkdir(dirname(this.#incomplete), { recursive: true })
    if (!(await this.#transfer(known, record)) && known !== null) {
      await rm(this.#incomplete, { force: true })
      return known
    }
    const sha256 = await hashFile(this.#incomplete, 'sha256', this.#settings.signal)
    if (expected !== null && sha256 !== expected) {
      await rm(this.#incomplete, { force: true })
      throw new EspalierError(
        'MODEL_CHECKSUM_MISMATCH',
        `${this.what}: expected SHA-256 ${expected} (as #sha256= says), found ${sha256}: the file has changed, or the checksum is of another`,
        { source: this.what, expected, found: sha256 },
      )
    }
    const unpacked = await this.findUnpacked(sha256)
    if (unpacked === null) await this.#unpack(sha256)
    await this.#writeRecord({ etag: (await this.readRecord())?.etag ?? null, sha256 })
    await rm(this.#incomplete, { force: true })
    const directory = this.#folder(sha256)
    return unpacked ?? { directory, revision: sha256, files: await listFiles(directory, false) }
  }

  async #transfer(known: ResolvedRepository | null, record: ArchiveRecord | null): Promise<boolean> {
    const meter = new ProgressMeter(this.what, this.#settings.onProgress)
    const { origin: endpoint } = new URL(this.#url)
    const knownEtag = known === null ? null : (record?.etag ?? null)
    const changed = await transferFile(
      {
        url: this.#url,
        origin: { what: this.what, repository: null, endpoint, hasToken: false },
        token: null,
        incomplete: this.#incomplete,
        bytes: null,
        // With a whole archive remembered, what lies there belongs to nobody knows which version.
        resume: { etag: record !== null && record.sha256 === null ? record.etag : null },
        ...(knownEtag === null ? {} : { knownEtag }),
        onBytes: (change) => meter.add(change),
        onStart: async ({ etag, bytes }) => {
          meter.expect(bytes)
          if (bytes !== null) await checkDiskSpace(dirname(this.#incomplete), bytes, this.what)
          await this.#writeRecord({ etag, sha256: null })
        },
      },
      this.#settings,
    )
    meter.finishFile()
    return changed
  }

  async #unpack(sha256: string): Promise<void> {
    const target = this.#folder(sha256)
    await mkdir(dirname(target), { recursive: true })
    const { maxArchiveBytes: maxBytes, signal } = this.#settings
    await extractArchive(this.#incomplete, target, this.what, { maxBytes, signal })
  }

  #folder(sha256: string): string {
    return join(this.#settings.archives, 'models', sha256)
  }

  async #writeRecord(record: ArchiveRecord): Promise<void> {
    const temporary = `${this.#recordFile}.${randomUUID()}.tmp`
    await writeFile(temporary, JSON.stringify(record))
    await rename(temporary, this.#recordFile)
  }
}

export async function listFiles(directory: string, cached: boolean): Promise<readonly SourceFile[]> {
  const names = (await readdir(directory)).sort()
  const sizes = await Promise.all(names.map((name) => findFileBytes(join(directory, name))))
  return names.flatMap((name, index) => {
    const bytes = sizes[index] ?? null
    return bytes === null ? [] : [{ name, bytes, cached }]
  })
}
