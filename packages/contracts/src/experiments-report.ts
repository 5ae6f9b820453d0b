import { z } from 'zod'

/** How a number of a column is written; `text` columns hold words. */
export const cellFormats = ['text', 'count', 'decimal', 'percent', 'perplexity', 'seconds', 'bytes', 'times'] as const
export type CellFormat = (typeof cellFormats)[number]

const reportTableSchema = z.object({
  title: z.string(),
  columns: z.array(z.object({ title: z.string(), format: z.enum(cellFormats) })).min(1),
  /** Numbers as measured; null: there is none. */
  rows: z.array(z.array(z.union([z.string(), z.number(), z.null()]))),
})
export type ReportTable = z.infer<typeof reportTableSchema>

const axisSchema = z.object({ label: z.string(), scale: z.enum(['linear', 'log']) })

const reportPlotSchema = z.object({
  /** Of its file, without ending. */
  name: z.string().regex(/^[a-z0-9-]+$/),
  title: z.string(),
  x: axisSchema,
  y: axisSchema,
  series: z.array(
    z.object({
      name: z.string(),
      style: z.enum(['line', 'points', 'dashed']),
      points: z.array(z.tuple([z.number(), z.number()])),
    }),
  ),
})
export type ReportPlot = z.infer<typeof reportPlotSchema>

export const experimentNumbers = [1, 2, 3, 4, 5, 6, 7] as const
export type ExperimentNumber = (typeof experimentNumbers)[number]

const reportPartSchema = z.object({
  part: z.literal(experimentNumbers),
  title: z.string(),
  /** What is measured and how, in a paragraph. */
  method: z.string(),
  /** What the numbers say, whoever wins; one sentence or two each. */
  findings: z.array(z.string()),
  tables: z.array(reportTableSchema),
  plots: z.array(reportPlotSchema),
  seconds: z.number(),
})
export type ReportPart = z.infer<typeof reportPartSchema>

/** What decides the numbers of a report; parts of other settings are never mixed. */
const experimentsSettingsSchema = z.object({
  model: z.string(),
  modelHash: z.string(),
  /** Hashes of the tokens of the texts. */
  texts: z.object({ calibration: z.string(), validation: z.string(), test: z.string() }),
  /** Hash of the measured policies that were given; null: none were. */
  evaluations: z.string().nullable(),
  /** Tokens a window. */
  windowLength: z.int(),
  seeds: z.array(z.int().min(0)).min(1),
  quick: z.boolean(),
})
export type ExperimentsSettings = z.infer<typeof experimentsSettingsSchema>

/** `report.json` of `espalier experiments`: the parts that are finished, in the order of their numbers. */
export const experimentsReportSchema = z.object({
  format: z.literal('espalier-experiments/1'),
  settings: experimentsSettingsSchema,
  machine: z.object({ processor: z.string(), threads: z.int() }),
  parts: z.array(reportPartSchema),
})
export type ExperimentsReport = z.infer<typeof experimentsReportSchema>
