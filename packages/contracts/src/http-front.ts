import { z } from 'zod'
import { evaluationPurposes } from './steps.js'

/** A measured policy that no other measured one beats in both perplexity and cost. */
const frontPointSchema = z.object({
  keptUnits: z.array(z.int()),
  purpose: z.enum(evaluationPurposes),
  targetIndex: z.int().nullable(),
  sparsity: z.number(),
  parameters: z.number(),
  weightBytes: z.number(),
  flopsPerToken: z.number(),
  kvBytesPerToken: z.number(),
  /** By the table of measured latencies; null: there is none for this search. */
  secondsPerToken: z.number().nullable(),
  perplexity: z.number(),
  logPerplexity: z.number(),
})

/** `GET /v1/searches/:id/front`: from real evaluations on all validation windows of the search, cheapest first. */
export const searchFrontSchema = z
  .object({
    windows: z.int(),
    /** Policies compared. */
    policies: z.int(),
    /** Perplexity against parameters. */
    size: z.array(frontPointSchema),
    /** Perplexity against measured time a token; null where no latencies were measured. */
    speed: z.array(frontPointSchema).nullable(),
  })
  .meta({ id: 'SearchFront' })
export type SearchFront = z.infer<typeof searchFrontSchema>
export type FrontPoint = SearchFront['size'][number]
