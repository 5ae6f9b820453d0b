import type { FileMetaData, RowGroup, SchemaTree } from 'hyparquet'
import { parquetSchema } from 'hyparquet'
import { invalidText } from './text-error.js'
import { maxColumnChunkBytes, maxRowGroupRows } from './text-limits.js'

/** A column of texts, or one within structs: its names from the outside in. */
export type ColumnPath = readonly [string, ...string[]]

/**
 * Finds a column by its name, or by names with dots between them, and refuses what cannot hold a text a row.
 * @throws EspalierError TEXT_INVALID with the columns that there are
 */
export function findColumn(metadata: FileMetaData, name: string, file: string): ColumnPath {
  const root = parquetSchema(metadata)
  const direct = root.children.find(({ element }) => element.name === name)
  const path = direct === undefined ? name.split('.') : [name]
  let node = root
  for (const part of path) {
    const next = node.children.find(({ element }) => element.name === part)
    if (next === undefined) {
      const columns = root.children.slice(0, 20).map(({ element }) => element.name)
      throw invalidText(file, `there is no column "${name}"; it has: ${columns.join(', ')}`, { column: name, columns })
    }
    if (next.element.repetition_type === 'REPEATED' || isList(next)) {
      throw invalidText(file, `the column "${name}" holds lists; it must hold one text a row`, { column: name })
    }
    node = next
  }
  if (node.element.type !== 'BYTE_ARRAY') {
    const found = node.element.type ?? 'a struct'
    throw invalidText(file, `the column "${name}" holds ${found}, which is no text`, { column: name, found })
  }
  const [first = name, ...rest] = path
  return [first, ...rest]
}

function isList({ element }: SchemaTree): boolean {
  return element.converted_type === 'LIST' || element.converted_type === 'MAP'
}

/**
 * Refuses row groups whose own numbers ask for more than may be held at once.
 * @throws EspalierError TEXT_INVALID
 */
export function checkRowGroup(group: RowGroup, index: number, [column]: ColumnPath, file: string): void {
  const where = `row group ${index}`
  const rows = Number(group.num_rows)
  if (!(rows >= 0 && rows <= maxRowGroupRows)) {
    throw invalidText(file, `${where} has ${rows} rows; ${maxRowGroupRows} are allowed`, { rowGroup: index, rows })
  }
  for (const { meta_data: chunk } of group.columns) {
    if (chunk?.path_in_schema[0] !== column) continue
    const bytes = Number(chunk.total_uncompressed_size)
    if (bytes >= 0 && bytes <= maxColumnChunkBytes) continue
    throw invalidText(
      file,
      `${where} has ${bytes} bytes in the column "${column}"; ${maxColumnChunkBytes} are allowed`,
      { rowGroup: index, bytes, allowed: maxColumnChunkBytes },
    )
  }
}
