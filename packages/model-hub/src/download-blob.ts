import { rename, rm, stat } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { hashFile } from './hash-file.js'
import type { HubClient, HubFile } from './hub-client.js'
import type { HubSettings } from './model-hub-options.js'
import type { RepositoryCache } from './repository-cache.js'
import { findFileBytes } from './repository-cache.js'
import { transferFile } from './transfer-file.js'

/** A file that came whole and wrong is fetched once more: what was there from an earlier run may have been at fault. */
const checksumAttempts = 2

/**
 * Downloads a file of the hub into `blobs/`, by way of a partial file that survives a cut or a kill, and lets it
 * appear there only when its checksum is right.
 *
 * @throws EspalierError MODEL_CHECKSUM_MISMATCH, and what `transferFile` throws
 */
export async function downloadBlob(
  file: HubFile,
  client: HubClient,
  cache: RepositoryCache,
  settings: HubSettings,
  onBytes: (change: number) => void,
): Promise<void> {
  const blob = cache.blob(file.checksum.hex)
  const incomplete = `${blob}.incomplete`
  const origin = client.origin(file.path)
  const transfer = {
    url: file.url,
    origin,
    token: client.token,
    incomplete,
    bytes: file.bytes,
    resume: 'always',
  } as const
  let found = ''
  for (let attempt = 1; attempt <= checksumAttempts; attempt++) {
    await transferFile({ ...transfer, onBytes }, settings)
    const { ino, size } = await stat(incomplete)
    found = await hashFile(incomplete, file.checksum.kind, settings.signal)
    if (found === file.checksum.hex) return publish(incomplete, blob, ino, origin.what)
    await rm(incomplete, { force: true })
    onBytes(-size)
  }
  throw new EspalierError(
    'MODEL_CHECKSUM_MISMATCH',
    `${origin.what}: expected ${file.checksum.kind === 'git' ? 'git SHA-1' : 'SHA-256'} ${file.checksum.hex}, found ` +
      `${found}, ${checksumAttempts} times. Something between here and ${settings.endpoint} changes files: ` +
      'try again, without a proxy or mirror (HF_ENDPOINT) if there is one',
    { source: origin.what, expected: file.checksum.hex, found },
  )
}

/** Another process may download the same file: what was checked must be what is published. */
async function publish(incomplete: string, blob: string, checkedInode: number, what: string): Promise<void> {
  const current = await stat(incomplete).catch(() => null)
  if (current?.ino === checkedInode) return rename(incomplete, blob)
  if ((await findFileBytes(blob)) !== null) return
  throw new EspalierError('MODEL_DOWNLOAD_FAILED', `${what}: another process replaced ${incomplete}: try again`, {
    source: what,
    file: incomplete,
  })
}
