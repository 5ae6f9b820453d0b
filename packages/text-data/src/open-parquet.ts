import { type FileHandle, open } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync } from 'hyparquet'
import { invalidText, unreadableText } from './text-error.js'
import { maxParquetFooterBytes } from './text-limits.js'

/** Texts are checked by who reads them, not replaced where they are not UTF-8: the library gives their bytes. */
export const parquetParsers = {
  stringFromBytes: (bytes: Uint8Array) => bytes,
  jsonFromBytes: (bytes: Uint8Array) => bytes,
}

export interface OpenedParquet {
  readonly buffer: AsyncBuffer
  readonly metadata: FileMetaData
}

/**
 * Opens a Parquet file, gives its footer to `read`, and closes it behind the last value.
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID
 */
export async function* withParquet<Value>(
  file: string,
  read: (opened: OpenedParquet) => AsyncGenerator<Value>,
): AsyncGenerator<Value> {
  const handle = await open(file).catch((error: unknown) => {
    throw unreadableText(file, error)
  })
  try {
    const buffer = await openBuffer(handle, file)
    const options = { parsers: parquetParsers, geoparquet: false }
    yield* read({ buffer, metadata: await translated(file, () => parquetMetadataAsync(buffer, options)) })
  } finally {
    await handle.close()
  }
}

async function openBuffer(handle: FileHandle, file: string): Promise<AsyncBuffer> {
  const { size: byteLength } = await handle.stat()
  const slice = async (start: number, end = byteLength): Promise<ArrayBuffer> => {
    if (!(start >= 0 && start <= end && end <= byteLength)) {
      throw invalidText(file, `names bytes ${start} to ${end}; the file has ${byteLength}`, { start, end, byteLength })
    }
    const bytes = new Uint8Array(end - start)
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start)
    if (bytesRead < bytes.length) throw invalidText(file, `ends at byte ${start + bytesRead}, before byte ${end}`)
    return bytes.buffer
  }
  if (byteLength < 12) throw invalidText(file, `not Parquet: ${byteLength} bytes are too few`, { byteLength })
  const footer = new DataView(await slice(byteLength - 8)).getUint32(0, true)
  if (footer > maxParquetFooterBytes) {
    throw invalidText(file, `not Parquet, or a footer of ${footer} bytes; ${maxParquetFooterBytes} are allowed`)
  }
  return { byteLength, slice }
}

/** Whatever the library throws says that the file is not as the format wants it. */
export async function translated<Value>(file: string, read: () => Promise<Value>): Promise<Value> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof EspalierError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw invalidText(file, `not Parquet that can be read: ${reason.slice(0, 200)}`, {}, cause)
  }
}
