import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'

export interface ReceivedFile {
  readonly bytes: number
  readonly sha256: string
}

/**
 * Streams a body into a file. The file appears under its name when it is whole, and replaces one of that name.
 *
 * @throws REQUEST_TOO_LARGE beyond `maxBytes`; nothing is left then
 */
export async function receiveFile(
  body: AsyncIterable<Uint8Array>,
  folder: string,
  name: string,
  maxBytes: number,
): Promise<ReceivedFile> {
  await mkdir(folder, { recursive: true })
  const unfinished = join(folder, `.${randomUUID()}.incoming`)
  try {
    const received = await writeBody(body, unfinished, maxBytes)
    await rename(unfinished, join(folder, name))
    return received
  } finally {
    await rm(unfinished, { force: true })
  }
}

async function writeBody(body: AsyncIterable<Uint8Array>, path: string, maxBytes: number): Promise<ReceivedFile> {
  const file = await open(path, 'wx', 0o600)
  const hash = createHash('sha256')
  let bytes = 0
  try {
    for await (const chunk of body) {
      bytes += chunk.byteLength
      if (bytes > maxBytes) throw tooLarge(maxBytes)
      hash.update(chunk)
      await file.writeFile(chunk)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  return { bytes, sha256: hash.digest('hex') }
}

export function tooLarge(maxBytes: number): EspalierError {
  return new EspalierError('REQUEST_TOO_LARGE', `The file is larger than the ${maxBytes} bytes allowed here`, {
    allowedBytes: maxBytes,
  })
}
