import { type FileMetaData, parquetReadObjects, parquetSchema } from 'hyparquet'
import { cleanValue } from './clean-value.js'
import { parquetParsers as parsers, translated, withParquet } from './open-parquet.js'
import { checkRowGroup } from './parquet-column.js'
import { parquetDecompressors } from './parquet-decompressors.js'
import type { FieldValues } from './parquet-messages.js'

/**
 * Whole records of a Parquet file, one row group after another: those of the named columns that there are.
 * Decoding holds the thread: see parquet-thread.ts.
 *
 * @throws EspalierError TEXT_NOT_FOUND; TEXT_INVALID with the row, counted from 1
 */
export async function* readParquetRecords(
  file: string,
  columns: readonly string[],
  mostRows: number,
): AsyncGenerator<readonly FieldValues[]> {
  yield* withParquet(file, async function* ({ buffer, metadata }) {
    const present = findPresent(metadata, columns)
    let rowStart = 0
    for (const [index, group] of metadata.row_groups.entries()) {
      if (rowStart >= mostRows) break
      for (const column of present) checkRowGroup(group, index, [column], file)
      const rowEnd = Math.min(rowStart + Number(group.num_rows), mostRows)
      const options = { file: buffer, metadata, rowStart, rowEnd, columns: present, parsers, geoparquet: false }
      const rows = await translated(file, () => parquetReadObjects({ ...options, compressors: parquetDecompressors }))
      yield rows.map((row, at) => cleanRecord(row, file, rowStart + at + 1))
      rowStart += Number(group.num_rows)
    }
  })
}

function findPresent(metadata: FileMetaData, columns: readonly string[]): string[] {
  const names = new Set(parquetSchema(metadata).children.map(({ element }) => element.name))
  return columns.filter((column) => names.has(column))
}

function cleanRecord(row: Readonly<Record<string, unknown>>, file: string, number: number): FieldValues {
  const entries = Object.entries(row).map(
    ([field, value]) => [field, cleanValue(value, file, { row: number })] as const,
  )
  return Object.fromEntries(entries)
}
