import { z } from 'zod'

/** Where an evaluation can run. */
export const executionProviders = ['cpu', 'cuda'] as const
export type ExecutionProvider = (typeof executionProviders)[number]

/** What the matrix products of an evaluation are computed in. */
export const precisions = ['fp32', 'fp16', 'bf16'] as const
export type Precision = (typeof precisions)[number]

/** What decides which steps an evaluator can do; part of the details of its worker row. */
export const evaluatorCapacitySchema = z.object({
  provider: z.enum(executionProviders),
  /** Memory it may take, bytes; null: not known, and then not a limit. */
  memoryBytes: z.number().positive().nullable(),
  precisions: z.array(z.enum(precisions)),
})
export type EvaluatorCapacity = z.infer<typeof evaluatorCapacitySchema>

/** Least memory with which a search can be evaluated at all, bytes. */
export type MemoryNeeds = Readonly<Record<ExecutionProvider, number>>
