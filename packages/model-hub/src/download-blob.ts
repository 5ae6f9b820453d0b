import { rename, rm, stat } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { errorCodeOf } from './error-code.js'
import { hashFile } from './hash-file.js'
import type { Checksum, HubClient, HubFile } from './hub-client.js'
import type { HubSettings } from './model-hub-options.js'
import { findFileBytes, type RepositoryCache } from './repository-cache.js'
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
    const checked = await hashIncomplete(incomplete, file.checksum.kind, settings.signal)
    if (checked === null) return refuseAbsence(blob, incomplete, origin.what)
    found = checked.hex
    if (found === file.checksum.hex) return publish(incomplete, blob, checked.inode, origin.what)
    await rm(incomplete, { force: true })
    onBytes(-checked.bytes)
  }
  throw new EspalierError(
    'MODEL_CHECKSUM_MISMATCH',
    `${origin.what}: expected ${file.checksum.kind === 'git' ? 'git SHA-1' : 'SHA-256'} ${file.checksum.hex}, found ` +
      `${found}, ${checksumAttempts} times. Something between here and ${settings.endpoint} changes files: ` +
      'try again, without a proxy or mirror (HF_ENDPOINT) if there is one',
    { source: origin.what, expected: file.checksum.hex, found },
  )
}

/** null: there is no such file any more, as another process, at the same file, was faster. */
async function hashIncomplete(path: string, kind: Checksum['kind'], signal: AbortSignal | undefined) {
  try {
    const { ino: inode, size: bytes } = await stat(path)
    return { inode, bytes, hex: await hashFile(path, kind, signal) }
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null
    throw error
  }
}

/** Another process may download the same file: what was checked must be what is published. */
async function publish(incomplete: string, blob: string, checkedInode: number, what: string): Promise<void> {
  const current = await stat(incomplete).catch(() => null)
  if (current?.ino !== checkedInode) return refuseAbsence(blob, incomplete, what)
  await rename(incomplete, blob).catch(() => refuseAbsence(blob, incomplete, what))
}

async function refuseAbsence(blob: string, incomplete: string, what: string): Promise<void> {
  if ((await findFileBytes(blob)) !== null) return
  throw new EspalierError('MODEL_DOWNLOAD_FAILED', `${what}: another process replaced ${incomplete}: try again`, {
    source: what,
    file: incomplete,
  })
}
