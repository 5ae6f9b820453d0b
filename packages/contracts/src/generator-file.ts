import { z } from 'zod'
import { modelShapeSchema } from './model-shape.js'
import { compensations, importanceMetrics, keptUnitsSchema } from './policy.js'

/** A policy network as plain numbers; sizes are checked where it is used. */
const policyNetworkSchema = z.strictObject({
  format: z.literal('espalier-policy-network/1'),
  modules: z.int().min(1),
  hiddenUnits: z.int().min(1),
  weights: z.array(z.array(z.number())).length(4),
})

/**
 * Generator file in the artefact store, format `espalier-generator/1`: all that is needed to give a policy for any
 * sparsity of the range, with its prediction. Written when a policy network was trained, with the predictor it was
 * trained against.
 */
export const generatorFileSchema = z.strictObject({
  format: z.literal('espalier-generator/1'),
  round: z.int().min(1),
  shape: modelShapeSchema,
  modelHash: z.string().nullable(),
  metric: z.enum(importanceMetrics),
  compensation: z.enum(compensations),
  /** Tokens a window of the evaluations, for which the predictions and the count of operations hold. */
  windowLength: z.int().min(2),
  /** What `Predictor.toJSON` gave. */
  predictor: z.unknown(),
  front: z.strictObject({
    range: z.tuple([z.number(), z.number()]),
    network: policyNetworkSchema,
    channelsPerStep: z.int().min(1),
    /** The sparsest first. */
    policies: z.array(keptUnitsSchema).min(1),
  }),
})
export type GeneratorFile = z.infer<typeof generatorFileSchema>
