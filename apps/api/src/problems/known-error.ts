import { EspalierError } from '@espalier/contracts'
import { isConnectionError } from '@espalier/store'
import type { FastifyError, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { RequestRejected } from './request-rejected.js'
import { validationErrorsOf } from './validation-errors.js'

/** Turns anything thrown while a request is served into an error of the catalogue; undefined: it is unexpected. */
export function findKnownError(error: unknown, request: FastifyRequest): EspalierError | undefined {
  if (error instanceof EspalierError) return error
  if (hasZodFastifySchemaValidationErrors(error)) {
    return new RequestRejected(validationErrorsOf(error.validation, error.validationContext, request))
  }
  if (isConnectionError(error)) {
    return new EspalierError('SERVICE_UNAVAILABLE', 'The database does not answer; try again', {}, { cause: error })
  }
  return isFastifyError(error) ? errorOfFastify(error, request) : undefined
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
}

function errorOfFastify(error: FastifyError, request: FastifyRequest): EspalierError | undefined {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': {
      const allowedBytes = request.routeOptions.bodyLimit
      const message = `The request body is larger than the ${allowedBytes} bytes allowed here`
      return new EspalierError('REQUEST_TOO_LARGE', message, { allowedBytes })
    }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE': {
      const given = request.headers['content-type'] ?? null
      const shown = given === null ? 'no media type' : `the media type "${given}"`
      return new EspalierError('REQUEST_MEDIA_TYPE', `The request body has ${shown}; allowed is application/json`, {
        value: given,
        allowed: ['application/json'],
      })
    }
    case 'FST_ERR_HANDLER_TIMEOUT':
      return timeoutError(request)
    default:
      return isRequestsFault(error) ? new EspalierError('REQUEST_MALFORMED', error.message) : undefined
  }
}

function isRequestsFault({ statusCode }: FastifyError): boolean {
  return statusCode !== undefined && statusCode >= 400 && statusCode < 500
}

/** Slow to arrive is the client's doing, slow to answer is ours. */
function timeoutError(request: FastifyRequest): EspalierError {
  const { handlerTimeout } = request.routeOptions
  return request.raw.complete
    ? new EspalierError('SERVICE_UNAVAILABLE', `The service did not answer within ${handlerTimeout} ms; try again`)
    : new EspalierError('REQUEST_TIMEOUT', `The request body did not arrive within ${handlerTimeout} ms`)
}
