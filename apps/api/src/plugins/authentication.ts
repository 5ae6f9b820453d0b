import { EspalierError } from '@espalier/contracts'
import type { Store } from '@espalier/store'
import type { FastifyRequest } from 'fastify'
import type { Api } from '../api.js'

interface Caller {
  readonly teamId: string
  readonly keyId: string
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; null where no key is needed. */
    caller: Caller | null
  }
}

/** Every request needs an API key as bearer token; what it may see is its team's. */
export function addAuthentication(api: Api, store: Store): void {
  api.decorateRequest('caller', null)
  api.addHook('onRequest', async (request, reply) => {
    const caller = await store.apiKeys.find(bearerTokenOf(request))
    if (!caller) throw new EspalierError('AUTHENTICATION_FAILED', 'The API key given is unknown or was revoked')
    request.caller = caller
    request.log = request.log.child({ teamId: caller.teamId })
    reply.log = request.log
  })
}

/** The team that asks; only for routes behind `addAuthentication`. */
export function teamOf(request: FastifyRequest): string {
  return callerOf(request).teamId
}

export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new EspalierError('AUTHENTICATION_REQUIRED', 'This address needs an API key')
  return request.caller
}

function bearerTokenOf(request: FastifyRequest): string {
  const header = request.headers.authorization
  if (header === undefined) {
    throw new EspalierError('AUTHENTICATION_REQUIRED', 'An API key is needed: send "Authorization: Bearer esp_…"')
  }
  const token = /^Bearer +(\S+) *$/i.exec(header)?.[1]
  if (token === undefined) {
    throw new EspalierError(
      'AUTHENTICATION_FAILED',
      'The Authorization header is not understood; allowed is "Bearer esp_…"',
    )
  }
  return token
}
