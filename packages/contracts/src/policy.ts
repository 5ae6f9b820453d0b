import { z } from 'zod'

/** `obs` ranks units by what removing them costs once the kept columns are fitted anew, as least squares fits them. */
export const importanceMetrics = ['magnitude', 'wanda', 'fluctuation', 'obs'] as const
export type ImportanceMetric = (typeof importanceMetrics)[number]

/**
 * What stands in for removed units: nothing, a bias of their mean output, or the kept columns of o_proj and down_proj
 * fitted anew with a bias.
 */
export const compensations = ['none', 'mean', 'least-squares'] as const
export type Compensation = (typeof compensations)[number]

const keepSchema = z.union([z.int().min(0), z.array(z.int().min(0))])

/** A count is ranked by the metric; an array of unit indices is taken as it stands. */
export const layerKeepSchema = z.strictObject({ kvGroups: keepSchema, ffnChannels: keepSchema })

/** Policy file, format `espalier-policy/1`. */
export const policyFileSchema = z.strictObject({
  format: z.literal('espalier-policy/1'),
  metric: z.enum(importanceMetrics),
  compensation: z.enum(compensations),
  /** SHA-256 of the model it was made for; checked when present. */
  modelHash: z.string().optional(),
  keep: z.array(layerKeepSchema).min(1),
})
export type PolicyFile = z.infer<typeof policyFileSchema>

/** Kept units of every module, in the order attention 0, feed-forward 0, attention 1, ...; length 2 x layers. */
export const keptUnitsSchema = z.array(z.int().min(0))
export type KeptUnits = readonly number[]
