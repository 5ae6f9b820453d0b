import { type FileHandle, open } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { decodeUtf8 } from './decode-utf8.js'
import { type ColumnPath, checkRowGroup, findColumn } from './parquet-column.js'
import { parquetDecompressors } from './parquet-decompressors.js'
import { invalidText, unreadableText } from './text-error.js'
import { maxParquetFooterBytes } from './text-limits.js'

/** Texts are checked here, not replaced where they are not UTF-8: the library gives their bytes. */
const parsers = { stringFromBytes: (bytes: Uint8Array) => bytes, jsonFromBytes: (bytes: Uint8Array) => bytes }

/**
 * The texts of one column of a Parquet file, one row group after another; null where there is none.
 * Decoding holds the thread: see parquet-thread.ts.
 *
 * @param mostRows rows wanted from the start
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID with the row, counted from 1, where it is known
 */
export async function* readParquet(
  file: string,
  column: string,
  mostRows: number,
): AsyncGenerator<readonly (string | null)[]> {
  const handle = await open(file).catch((error: unknown) => {
    throw unreadableText(file, error)
  })
  try {
    const buffer = await openBuffer(handle, file)
    const metadata = await translated(file, () => parquetMetadataAsync(buffer, { parsers, geoparquet: false }))
    const path = findColumn(metadata, column, file)
    let rowStart = 0
    for (const [index, group] of metadata.row_groups.entries()) {
      if (rowStart >= mostRows) break
      checkRowGroup(group, index, path, file)
      const rowEnd = Math.min(rowStart + Number(group.num_rows), mostRows)
      if (rowEnd > rowStart) yield await readRows(buffer, metadata, path, rowStart, rowEnd, file)
      rowStart += Number(group.num_rows)
    }
  } finally {
    await handle.close()
  }
}

async function readRows(
  file: AsyncBuffer,
  metadata: FileMetaData,
  [first, ...within]: ColumnPath,
  rowStart: number,
  rowEnd: number,
  name: string,
): Promise<(string | null)[]> {
  const rows = await translated(name, () =>
    parquetReadObjects({
      ...{ file, metadata, rowStart, rowEnd, parsers },
      ...{ columns: [first], compressors: parquetDecompressors, geoparquet: false },
    }),
  )
  return rows.map((row, index) => {
    let value: unknown = row[first]
    // The library gives null for a null, and undefined also for rows that the pages do not have.
    if (value === undefined && within.length === 0) throw invalidText(name, `row ${rowStart + index + 1} is missing`)
    for (const part of within) value = value instanceof Object ? Reflect.get(value, part) : value
    return decodeValue(value, rowStart + index + 1, name)
  })
}

function decodeValue(value: unknown, row: number, file: string): string | null {
  if (value === null || value === undefined) return null
  if (value instanceof Uint8Array) return decodeUtf8(value, file, 0, { row })
  throw invalidText(file, `row ${row} holds a value of type ${typeof value}, which is no text`, { row })
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
async function translated<Value>(file: string, read: () => Promise<Value>): Promise<Value> {
  try {
    return await read()
  } catch (cause) {
    if (cause instanceof EspalierError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw invalidText(file, `not Parquet that can be read: ${reason.slice(0, 200)}`, {}, cause)
  }
}
