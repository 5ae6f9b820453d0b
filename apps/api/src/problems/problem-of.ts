import { type EspalierError, type Problem, problemTypeOf } from '@espalier/contracts'
import { RequestRejected } from './request-rejected.js'

export const problemMediaType = 'application/problem+json'

/** The body of an answer that is an error (RFC 9457). */
export function problemOf(error: EspalierError, request: { url: string; id: string }): Problem {
  return {
    type: problemTypeOf(error.code),
    title: error.title,
    status: error.status,
    detail: error.message,
    instance: request.url.split('?')[0] ?? request.url,
    code: error.code,
    details: { ...error.details },
    requestId: request.id,
    ...(error instanceof RequestRejected ? { errors: [...error.errors] } : {}),
  }
}
