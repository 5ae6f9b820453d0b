import { type AsyncBuffer, type FileMetaData, parquetReadObjects } from 'hyparquet'
import { decodeUtf8 } from './decode-utf8.js'
import { parquetParsers as parsers, translated, withParquet } from './open-parquet.js'
import { type ColumnPath, checkRowGroup, findColumn } from './parquet-column.js'
import { parquetDecompressors } from './parquet-decompressors.js'
import { invalidText } from './text-error.js'

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
  yield* withParquet(file, async function* ({ buffer, metadata }) {
    const path = findColumn(metadata, column, file)
    let rowStart = 0
    for (const [index, group] of metadata.row_groups.entries()) {
      if (rowStart >= mostRows) break
      checkRowGroup(group, index, path, file)
      const rowEnd = Math.min(rowStart + Number(group.num_rows), mostRows)
      if (rowEnd > rowStart) yield await readRows(buffer, metadata, path, rowStart, rowEnd, file)
      rowStart += Number(group.num_rows)
    }
  })
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
