import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { invalidText, unreadableText } from './text-error.js'
import { isGzip } from './text-formats.js'

const chunkBytes = 1 << 20

/**
 * The bytes of a file piece by piece, unpacked when its name ends in `.gz`. Whoever stops early closes the file.
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID for a broken gzip file
 */
export async function* openBytes(file: string): AsyncGenerator<Buffer> {
  const stored = createReadStream(file, { highWaterMark: chunkBytes })
  const bytes = isGzip(file) ? stored.pipe(createGunzip({ chunkSize: chunkBytes })) : stored
  // pipe() hands no error on
  stored.on('error', (error) => bytes.destroy(error))
  try {
    for await (const chunk of bytes) yield chunk
  } catch (cause) {
    throw 'syscall' in Object(cause) ? unreadableText(file, cause) : brokenGzip(file, cause)
  } finally {
    stored.destroy()
  }
}

function brokenGzip(file: string, cause: unknown): Error {
  return invalidText(file, `not gzip: ${cause instanceof Error ? cause.message : String(cause)}`, {}, cause)
}
