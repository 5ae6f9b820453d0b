import { EspalierError } from '@espalier/contracts'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import underPressure from '@fastify/under-pressure'
import type { Api } from '../api.js'
import { callerOf } from './authentication.js'

/** Delay of the event loop above which requests are turned away rather than queued, milliseconds. */
const maxEventLoopDelayMs = 2_000

/** Safe headers on every answer, and honest refusal when there is too much to do. */
export async function addProtection(api: Api): Promise<void> {
  await api.register(helmet, {
    // the service itself speaks plain HTTP; whoever puts TLS in front of it decides about HSTS
    strictTransportSecurity: false,
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
  })
  await api.register(underPressure, {
    maxEventLoopDelay: maxEventLoopDelayMs,
    pressureHandler: (_request, _reply, type) => {
      throw new EspalierError('SERVICE_UNAVAILABLE', `The service is overloaded (${type}); try again`)
    },
  })
}

/** A generous limit for each key: it stops runaway loops, not work. Comes after authentication. */
export async function addRateLimit(api: Api, requestsPerMinute: number): Promise<void> {
  await api.register(rateLimit, {
    max: requestsPerMinute,
    timeWindow: 60_000,
    keyGenerator: (request) => callerOf(request).keyId,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new EspalierError(
        'REQUEST_RATE_LIMITED',
        `More than ${max} requests within a minute; try again in ${Math.ceil(ttl / 1000)} s`,
        { allowedPerMinute: max },
      ),
  })
}
