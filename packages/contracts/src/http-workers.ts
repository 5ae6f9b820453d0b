import { z } from 'zod'
import { idSchema, pageSchema, timestampSchema } from './http-page.js'
import { workerRoles } from './steps.js'

export const workerSchema = z
  .object({
    id: idSchema,
    role: z.enum([...workerRoles, 'api', 'dispatcher']),
    node: z.string(),
    pid: z.int(),
    alive: z.boolean(),
    /** What it computes with, as it reported itself, e.g. { backend: 'cpu', threads: 2 }. */
    details: z.record(z.string(), z.unknown()),
    startedAt: timestampSchema,
    heartbeatAt: timestampSchema,
    currentStepId: z.string().nullable(),
    doneSteps: z.int(),
    /** Results that came too late: another worker had been given the step. */
    refusedResults: z.int(),
  })
  .meta({ id: 'Worker' })
export type WorkerResource = z.infer<typeof workerSchema>
export const workerPageSchema = pageSchema(workerSchema)

export const healthSchema = z.object({ status: z.literal('ok'), version: z.string() }).meta({ id: 'Health' })
export const readinessSchema = z
  .object({ status: z.literal('ready'), database: z.literal('reachable'), migrations: z.literal('applied') })
  .meta({ id: 'Readiness' })
