import { z } from 'zod'
import { EspalierError } from './errors.js'
import { compensations, type ImportanceMetric, importanceMetrics } from './policy.js'

/** What makes masks of a policy, and what stands in for the units removed. */
export const pruningMethodSchema = z.object({ metric: z.enum(importanceMetrics), compensation: z.enum(compensations) })
export type PruningMethod = z.infer<typeof pruningMethodSchema>

/** `auto` leaves the choice to the search. */
export const metricChoices = [...importanceMetrics, 'auto'] as const
export type MetricChoice = (typeof metricChoices)[number]
export const compensationChoices = [...compensations, 'auto'] as const
export type CompensationChoice = (typeof compensationChoices)[number]

/** The method of a search, and why it was chosen. */
export const chosenMethodSchema = z.object({
  ...pruningMethodSchema.shape,
  /** One sentence for each thing that was left to the search. */
  reasons: z.array(z.string()),
  /** The uniform policy of one target under every metric, on the validation windows of the search; empty: not tried. */
  trials: z.array(
    z.object({ metric: z.enum(importanceMetrics), sparsityTarget: z.number(), perplexity: z.number().nullable() }),
  ),
})
export type ChosenMethod = z.infer<typeof chosenMethodSchema>

interface StepOfSearch {
  readonly payload: { readonly method?: PruningMethod | undefined }
  readonly settings: { readonly metric: MetricChoice; readonly compensation: CompensationChoice }
}

/**
 * The method that a step works under. Steps from before there was a choice name none: theirs is that of the settings.
 * @throws EspalierError INTERNAL when nothing was chosen
 */
export function methodOf({ payload, settings }: StepOfSearch): PruningMethod {
  if (payload.method) return payload.method
  const { metric, compensation } = settings
  if (metric !== 'auto' && compensation !== 'auto') return { metric, compensation }
  throw new EspalierError(
    'INTERNAL',
    `A step has no method, and the settings leave it open: ${metric}, ${compensation}`,
  )
}

export function isSameMethod(a: PruningMethod, b: PruningMethod): boolean {
  return a.metric === b.metric && a.compensation === b.compensation
}

/** What a calibration must record beside sums for a method: Gram matrices, and what eliminating each unit costs. */
export function recordingOf({ metric, compensation }: PruningMethod) {
  const elimination = metric === 'obs'
  return { gram: elimination || compensation === 'least-squares', elimination }
}

/** The metric that stands where none was tried. */
export const usualMetric: ImportanceMetric = 'wanda'
