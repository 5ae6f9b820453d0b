import { z } from 'zod'
import { compensations, importanceMetrics } from './policy.js'
import { policyOrigins } from './steps.js'

const count = z.int().min(1)

const evaluationsModuleSchema = z.object({
  layer: z.int().min(0),
  kind: z.enum(['attention', 'ffn']),
  units: count,
  parametersPerUnit: count,
})

/**
 * Measured policies of one model by one protocol, format `espalier-evaluations/1`: what a predictor learns from,
 * wherever it was measured. Fields that are not listed are left alone.
 */
export const evaluationsFileSchema = z.object({
  format: z.literal('espalier-evaluations/1'),
  model: z.object({
    name: z.string().min(1),
    /** In the order attention 0, feed-forward 0, attention 1, ...; length 2 x layers. */
    modules: z.array(evaluationsModuleSchema).min(2),
  }),
  protocol: z.object({
    windowLength: count,
    calibrationWindows: count,
    validationWindows: count,
    metric: z.enum(importanceMetrics),
    compensation: z.enum(compensations),
  }),
  /** Importance of every unit of every module by the metric. */
  importance: z.array(z.array(z.number())),
  /** In the order in which they were planned. */
  evaluations: z
    .array(
      z.object({
        origin: z.enum(policyOrigins),
        /** Kept units of each layer. */
        keep: z.array(z.object({ kvGroups: z.int().min(0), ffnChannels: z.int().min(0) })),
        sparsity: z.number().min(0).max(1),
        /** Over all validation windows of the protocol. */
        logPerplexity: z.number(),
        /** The same over fewer windows, by their number. */
        fidelities: z.record(z.string(), z.number()).optional(),
      }),
    )
    .min(1),
})
export type EvaluationsFile = z.infer<typeof evaluationsFileSchema>
