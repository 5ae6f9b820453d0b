import { open } from 'node:fs/promises'
import { characterStart, decodeUtf8, withoutByteOrderMark } from './decode-utf8.js'
import { openBytes } from './open-bytes.js'
import { invalidText, unreadableText } from './text-error.js'
import { isGzip } from './text-formats.js'
import { maxTextBytes } from './text-limits.js'
import type { TextRow } from './text-row.js'

/** A byte order mark is taken off the start and up to three bytes of a cut character off the end: enough stays. */
const slackBytes = 6

/**
 * A file that is one text, without a byte order mark.
 *
 * @param mostBytes of a longer file, only these and a few more are read, to the end of a character
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID for a text that is too long, not UTF-8 or binary
 */
export async function readPlainText(file: string, mostBytes: number): Promise<TextRow> {
  const limit = mostBytes + slackBytes
  const read = isGzip(file) ? await readPacked(file, limit) : await readStored(file, limit)
  const whole = read.length > limit ? read.subarray(0, characterStart(read, limit)) : read
  const bytes = withoutByteOrderMark(whole)
  const text = decodeUtf8(bytes, file, whole.length - bytes.length)
  const byteOffset = whole.indexOf(0)
  if (byteOffset >= 0) throw invalidText(file, `binary, not text: byte ${byteOffset} is 0`, { byteOffset, value: 0 })
  return { text, bytes }
}

/** One byte more than wanted tells whether there are more. */
async function readStored(file: string, limit: number): Promise<Buffer> {
  const handle = await open(file).catch((error: unknown) => {
    throw unreadableText(file, error)
  })
  try {
    const { size } = await handle.stat()
    if (size > maxTextBytes && limit > maxTextBytes) throw tooLong(file, size)
    const buffer = Buffer.allocUnsafe(Math.min(size, limit + 1))
    let filled = 0
    while (filled < buffer.length) {
      const { bytesRead } = await handle.read(buffer, filled, buffer.length - filled, filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    return buffer.subarray(0, filled)
  } catch (error) {
    throw 'syscall' in Object(error) ? unreadableText(file, error) : error
  } finally {
    await handle.close()
  }
}

async function readPacked(file: string, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of openBytes(file)) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > limit) break
    if (bytes > maxTextBytes) throw tooLong(file, bytes)
  }
  return Buffer.concat(chunks)
}

function tooLong(file: string, bytes: number): Error {
  return invalidText(file, `${bytes} bytes or more are too long for one text; ${maxTextBytes} are allowed`, {
    ...{ bytes, allowed: maxTextBytes },
  })
}
