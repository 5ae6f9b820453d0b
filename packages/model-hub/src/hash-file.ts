import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { Checksum } from './hub-client.js'

/**
 * Hash of a whole file, hexadecimal. `git`: SHA-1 of `blob <bytes>`, a zero byte and the contents (git's object
 * format), which is the ETag of small files on the hub.
 */
export async function hashFile(path: string, kind: Checksum['kind'], signal?: AbortSignal): Promise<string> {
  const hash = createHash(kind === 'git' ? 'sha1' : 'sha256')
  if (kind === 'git') hash.update(`blob ${(await stat(path)).size}\0`)
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash, signal ? { signal } : {})
  return hash.digest('hex')
}
