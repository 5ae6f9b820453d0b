import { z } from 'zod'

/** Where an evaluation can run. */
export const executionProviders = ['cpu', 'cuda'] as const
export type ExecutionProvider = (typeof executionProviders)[number]

/** What the matrix products of an evaluation are computed in. */
export const precisions = ['fp32', 'fp16', 'bf16'] as const
export type Precision = (typeof precisions)[number]

/**
 * How a session keeps half-precision weights. `stored`: as in the file, mapped into memory; what a module needs is
 * converted when it runs and freed after. `fp32`: all are converted once, when the session is created, to twice the
 * memory. Both give the same numbers, as every half-precision number is a float. Where products are computed in half
 * precision it makes no difference.
 */
export const weightPrecisions = ['stored', 'fp32'] as const
export type WeightPrecision = (typeof weightPrecisions)[number]

/** What decides which steps an evaluator can do; part of the details of its worker row. */
export const evaluatorCapacitySchema = z.object({
  provider: z.enum(executionProviders),
  /** Memory it may take, bytes; null: not known, and then not a limit. */
  memoryBytes: z.number().positive().nullable(),
  precisions: z.array(z.enum(precisions)),
  /** Absent: as stored. */
  weights: z.enum(weightPrecisions).optional(),
})
export type EvaluatorCapacity = z.infer<typeof evaluatorCapacitySchema>

/** Evaluators that need different memory for the same model. */
type EvaluatorKind = ExecutionProvider | 'cpuWithFp32Weights'
/** Least memory with which a search can be evaluated at all, bytes. */
export type MemoryNeeds = Readonly<Record<EvaluatorKind, number>>

/** Which of a search's needs an evaluator must meet. */
export function evaluatorKindOf({ provider, weights }: Pick<EvaluatorCapacity, 'provider' | 'weights'>): EvaluatorKind {
  return provider === 'cpu' && weights === 'fp32' ? 'cpuWithFp32Weights' : provider
}
