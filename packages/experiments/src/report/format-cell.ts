import type { CellFormat } from '@espalier/contracts'

const formats: Readonly<Record<CellFormat, (value: number) => string>> = {
  text: String,
  count: (value) => Math.round(value).toLocaleString('en'),
  decimal: (value) => (Math.abs(value) < 1e6 ? String(Number(value.toFixed(3))) : value.toExponential(1)),
  percent: (value) => `${(100 * value).toFixed(1)} %`,
  perplexity: (value) => (value < 1000 ? value.toFixed(2) : value.toPrecision(4)),
  seconds: formatDuration,
  bytes: (value) => `${(value / 1e6).toPrecision(3)} MB`,
  times: (value) => `${Number(value.toPrecision(3)).toLocaleString('en')} x`,
}

/** A cell of a table as text; what is not there is a dash. */
export function formatCell(value: string | number | null | undefined, format: CellFormat): string {
  if (value === null || value === undefined) return '-'
  if (typeof value === 'string') return value
  return Number.isFinite(value) ? formats[format](value) : '-'
}

function formatDuration(seconds: number): string {
  if (seconds < 1e-3) return `${Number((1e6 * seconds).toPrecision(2))} us`
  if (seconds < 0.1) return `${Number((1e3 * seconds).toPrecision(2))} ms`
  return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`
}
