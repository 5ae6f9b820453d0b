import { existsSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  EspalierError,
  type ExperimentsReport,
  type ExperimentsSettings,
  experimentsReportSchema,
  type ReportPart,
} from '@espalier/contracts'
import { renderPlot, renderReport } from '@espalier/experiments'
import { readJsonFile } from '../input/read-json.js'

const fileName = 'report.json'

/**
 * What a folder holds of a report with these settings.
 * @throws EspalierError EXPERIMENTS_CONFLICT when its report is of other settings, or something else
 */
export async function readReportParts(folder: string, settings: ExperimentsSettings): Promise<readonly ReportPart[]> {
  const path = join(folder, fileName)
  if (!existsSync(path)) return []
  const what = 'a report of format espalier-experiments/1: give another --out, or --fresh to replace it'
  const report = await readJsonFile(path, experimentsReportSchema, what, 'EXPERIMENTS_CONFLICT')
  const names = Object.keys(settings) as (keyof ExperimentsSettings)[]
  const other = names.filter((name) => JSON.stringify(report.settings[name]) !== JSON.stringify(settings[name]))
  if (other.length === 0) return report.parts
  throw new EspalierError(
    'EXPERIMENTS_CONFLICT',
    `${path} is a report with other settings (${other.join(', ')}): give another --out, or --fresh to replace it`,
    { file: path, differing: other },
  )
}

/** Writes report.json, report.md and the plots; every file appears whole. */
export async function writeReport(folder: string, report: ExperimentsReport): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const plot of report.parts.flatMap(({ plots }) => plots)) {
    await writeWhole(join(folder, `${plot.name}.svg`), renderPlot(plot))
  }
  await writeWhole(join(folder, 'report.md'), renderReport(report))
  await writeWhole(join(folder, fileName), `${JSON.stringify(shorten(report))}\n`)
}

/** Six digits of a measured number are more than any repeats. */
function shorten(report: ExperimentsReport): unknown {
  return JSON.parse(JSON.stringify(report), (_, value: unknown) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value,
  )
}

async function writeWhole(path: string, content: string): Promise<void> {
  await writeFile(`${path}.partial`, content)
  await rename(`${path}.partial`, path)
}
