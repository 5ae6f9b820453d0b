import { EspalierError } from '@espalier/contracts'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { Api } from '../api.js'
import { findKnownError } from '../problems/known-error.js'
import { problemMediaType, problemOf } from '../problems/problem-of.js'

/** Seconds after which a client may try again what is retryable. */
const retryAfterSeconds = 2

/** Every error becomes problem+json; what was not expected says nothing of its inside and is logged. */
export function addProblems(api: Api): void {
  api.setErrorHandler<FastifyError>((error, request, reply) => sendProblem(error, request, reply))
  const routes = rememberRoutes(api)
  api.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? request.url
    const allowed = routes.methodsAt(path)
    if (allowed.length === 0) {
      const message = `There is nothing at ${request.method} ${path}; /openapi.json lists what there is`
      return sendProblem(new EspalierError('ROUTE_NOT_FOUND', message), request, reply)
    }
    reply.header('allow', allowed.join(', '))
    const message = `${request.method} is not allowed at ${path}; allowed is ${allowed.join(', ')}`
    return sendProblem(new EspalierError('METHOD_NOT_ALLOWED', message, { allowed }), request, reply)
  })
}

export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = findKnownError(error, request)
  const answered =
    known ?? new EspalierError('INTERNAL', `Something unexpected happened; the log has it as ${request.id}`)
  const log = request.log
  if (answered.status >= 500) log.error({ err: error, code: answered.code }, 'request failed')
  else log.info({ code: answered.code, detail: answered.message }, 'request refused')
  if (answered.status === 401) {
    const reason = answered.code === 'AUTHENTICATION_FAILED' ? ', error="invalid_token"' : ''
    reply.header('www-authenticate', `Bearer realm="espalier"${reason}`)
  }
  if (answered.retryable && !reply.hasHeader('retry-after')) reply.header('retry-after', retryAfterSeconds)
  // the rest of a body that is not read would be taken for the next request
  if (!request.raw.complete) reply.header('connection', 'close')
  return reply
    .code(answered.status)
    .type(problemMediaType)
    .serializer(JSON.stringify)
    .send(problemOf(answered, request))
}

/** Knows which methods an address has, to tell "no such address" from "not this method". */
function rememberRoutes(api: Api): { methodsAt(path: string): string[] } {
  const routes: { pattern: RegExp; methods: readonly string[] }[] = []
  api.addHook('onRoute', ({ url, method }) => {
    routes.push({ pattern: patternOf(url), methods: [method].flat() })
  })
  return {
    methodsAt: (path) => [
      ...new Set(routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods)),
    ],
  }
}

/** `/v1/models/:id/policies/*` -> a regular expression of the addresses it serves. */
function patternOf(url: string): RegExp {
  const literal = url.replace(/[.+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${literal.replace(/:[A-Za-z]+/g, '[^/]+').replace(/\*/g, '.*')}$`)
}
