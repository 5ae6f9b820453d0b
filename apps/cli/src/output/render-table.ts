import type { Colors } from './terminal.js'

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
}

/** A plain table: titles, a rule, one line a row, two spaces between columns. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  colors: Colors,
): string[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? '').length)),
  )
  const renderRow = (cells: readonly string[]) =>
    columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? ''
        const width = widths[index] ?? 0
        return align === 'right' ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return [
    colors.bold(renderRow(columns.map(({ title }) => title))),
    colors.dim(widths.map((width) => '─'.repeat(width)).join('  ')),
    ...rows.map(renderRow),
  ]
}
