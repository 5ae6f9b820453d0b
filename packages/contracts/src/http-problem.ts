import { z } from 'zod'
import { type ErrorCode, errorCatalogue, isErrorCode } from './errors.js'

/** One thing wrong in a request: where (a JSON pointer into the part of the request), what, and the value if short. */
export const requestErrorSchema = z.object({
  in: z.enum(['body', 'query', 'path', 'headers']),
  path: z.string().meta({ description: 'JSON pointer, e.g. /targets/1; empty for the whole part.' }),
  message: z.string(),
  value: z.unknown().optional(),
})
export type RequestError = z.infer<typeof requestErrorSchema>

const errorCodeSchema = z.enum(Object.keys(errorCatalogue).filter(isErrorCode))

/** Body of every answer that is an error: `application/problem+json` (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'Address of the kind of problem, relative to the service.' }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().meta({ description: 'Path of the request.' }),
    code: errorCodeSchema,
    details: z.record(z.string(), z.unknown()),
    requestId: z.string(),
    errors: z.array(requestErrorSchema).optional(),
  })
  .meta({ id: 'Problem' })
export type Problem = z.infer<typeof problemSchema>

/** An error as it is recorded in rows and answered within resources. */
export const recordedErrorSchema = z.object({
  code: errorCodeSchema,
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
})

/** The `type` of a problem: `MODEL_NOT_FOUND` -> `/problems/model-not-found`. */
export function problemTypeOf(code: ErrorCode): string {
  return `/problems/${code.toLowerCase().replaceAll('_', '-')}`
}

/** What `GET /problems/:type` answers. */
export const problemTypeSchema = z
  .object({ code: errorCodeSchema, title: z.string(), status: z.int(), retryable: z.boolean() })
  .meta({ id: 'ProblemType' })

/** The code of a problem's `type` (with or without `/problems/`); undefined when there is none. */
export function findErrorCode(type: string): ErrorCode | undefined {
  const code = type
    .replace(/^\/problems\//, '')
    .toUpperCase()
    .replaceAll('-', '_')
  return isErrorCode(code) ? code : undefined
}
