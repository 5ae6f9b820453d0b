import type { ExperimentsReport, ReportPart, ReportTable } from '@espalier/contracts'
import { formatCell } from './format-cell.js'

/** The report as Markdown; plots are the files `<name>.svg` beside it. */
export function renderReport({ settings, machine, parts }: ExperimentsReport): string {
  const { model, seeds, quick } = settings
  const lines = [
    `# Experiments on ${model}`,
    '',
    `Written by \`espalier experiments${quick ? ' --quick' : ''} --seeds ${seeds.join(',')}\`, parts ${parts.map(({ part }) => part).join(', ')}; all numbers are in \`report.json\`. ` +
      `Model ${settings.modelHash.slice(0, 12)}. Machine: ${machine.processor}, ${machine.threads} threads. ` +
      'Times are those of this machine under whatever else it did; everything else follows from model, texts and seeds.',
    '',
    ...(quick ? ['**This is a quick run: it shows that everything works. Its numbers mean nothing.**', ''] : []),
    ...parts.flatMap(renderPart),
  ]
  return `${lines.join('\n').trimEnd()}\n`
}

function renderPart({ part, title, method, findings, tables, plots, seconds }: ReportPart): string[] {
  return [
    `## ${part}. ${title}`,
    '',
    ...findings.map((finding) => `- ${finding}`),
    '',
    ...tables.flatMap(renderTable),
    ...plots.flatMap(({ name, title: alternative }) => [`![${alternative}](${name}.svg)`, '']),
    `How: ${method} This part took ${seconds.toFixed(0)} s.`,
    '',
  ]
}

function renderTable({ title, columns, rows }: ReportTable): string[] {
  const renderRow = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [
    `**${title}**`,
    '',
    renderRow(columns.map((column) => column.title)),
    renderRow(columns.map(({ format }) => (format === 'text' ? '---' : '---:'))),
    ...rows.map((row) => renderRow(columns.map(({ format }, index) => formatCell(row[index], format)))),
    '',
  ]
}
