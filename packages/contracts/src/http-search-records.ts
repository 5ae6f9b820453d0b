import { z } from 'zod'
import { idSchema, pageSchema, timestampSchema } from './http-page.js'
import { compensations, importanceMetrics } from './policy.js'
import { resourceLimitSchema } from './policy-constraints.js'
import { exportFormats, splits } from './search-settings.js'
import { evaluationPurposes, policyOrigins } from './steps.js'

/** A policy that a search has measured or is about to measure, each one once. */
export const policySchema = z
  .object({
    id: idSchema,
    origin: z.enum(policyOrigins),
    targetIndex: z.int().nullable(),
    round: z.int(),
    sparsity: z.number(),
    /** Kept units of every module, in the order attention 0, feed-forward 0, attention 1, ... */
    keptUnits: z.array(z.int()),
    /** Size of the mask matrices: units and kept units of each module. */
    masks: z.array(z.object({ layer: z.int(), kind: z.enum(['attention', 'ffn']), units: z.int(), kept: z.int() })),
    /** Measured on the validation split over the most windows; null: not measured yet. */
    bestPerplexity: z.number().nullable(),
    evaluations: z.array(
      z.object({
        purpose: z.enum(evaluationPurposes),
        split: z.enum(splits),
        windows: z.int(),
        perplexity: z.number(),
        logPerplexity: z.number(),
      }),
    ),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Policy' })
export type PolicyResource = z.infer<typeof policySchema>
export const policyPageSchema = pageSchema(policySchema)

/** A real measurement of a policy, with all that is needed to make it again. */
export const evaluationSchema = z
  .object({
    id: idSchema,
    policyId: idSchema,
    purpose: z.enum(evaluationPurposes),
    targetIndex: z.int().nullable(),
    split: z.enum(splits),
    windows: z.int(),
    sparsity: z.number(),
    keptUnits: z.array(z.int()),
    perplexity: z.number(),
    logPerplexity: z.number(),
    /** What the predictor said before; null: it was not asked. */
    predicted: z.object({ perplexity: z.number(), low: z.number(), high: z.number() }).nullable(),
    protocol: z.object({
      windowLength: z.int(),
      windows: z.int(),
      dataHash: z.string(),
      modelHash: z.string(),
      precision: z.string(),
      metric: z.enum(importanceMetrics),
      compensation: z.enum(compensations),
      runtime: z.record(z.string(), z.string()),
    }),
    workerId: z.string().nullable(),
    computeSeconds: z.number(),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Evaluation' })
export type EvaluationResource = z.infer<typeof evaluationSchema>
export const evaluationPageSchema = pageSchema(evaluationSchema)

/**
 * One event of a search as sent by `GET /v1/searches/:id/events` (server-sent events): `id:` is `id`,
 * `event:` is `type`, `data:` is this object. The stream ends after an event with `terminal: true`.
 */
export const searchEventSchema = z
  .object({
    id: z.string(),
    /** `state`, `progress`, `evaluation`, `artifact`; more may come. */
    type: z.string(),
    at: timestampSchema,
    data: z.record(z.string(), z.unknown()),
    terminal: z.boolean(),
  })
  .meta({ id: 'SearchEvent' })
export type SearchEventResource = z.infer<typeof searchEventSchema>

export const artifactFileSchema = z.object({
  name: z.string(),
  bytes: z.int(),
  sha256: z.string(),
  /** Path of the file in this API. */
  url: z.string(),
})

/** A pruned model that was written, loaded again and measured. */
export const artifactSchema = z
  .object({
    id: idSchema,
    targetIndex: z.int(),
    /** The sparsity asked for; for another target that of its uniform policy, null while the search has no result. */
    sparsityTarget: z.number().nullable(),
    target: resourceLimitSchema.optional(),
    /** Reached; null while the search has no result yet. */
    sparsity: z.number().nullable(),
    format: z.enum(exportFormats),
    parameters: z.int(),
    bytes: z.int(),
    compensationWritten: z.boolean(),
    note: z.string().nullable(),
    perplexity: z.number(),
    expectedPerplexity: z.number(),
    /** Folder on the server. */
    directory: z.string(),
    files: z.array(artifactFileSchema),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Artifact' })
export type ArtifactResource = z.infer<typeof artifactSchema>
export const artifactPageSchema = pageSchema(artifactSchema)

export const artifactFileParamsSchema = z.strictObject({
  id: idSchema,
  artifactId: idSchema,
  name: z.string().min(1).max(200),
})
