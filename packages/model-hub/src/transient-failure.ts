import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError } from '@espalier/contracts'
import type { HubSettings } from './model-hub-options.js'

/** Something that the next attempt may not meet: a cut connection, a busy server, an expired address. */
export class TransientFailure extends Error {
  /** What the server asks to wait; null: it does not say. */
  readonly retryAfterMs: number | null

  constructor(message: string, retryAfterMs: number | null = null, options?: ErrorOptions) {
    super(message, options)
    this.name = 'TransientFailure'
    this.retryAfterMs = retryAfterMs
  }
}

const maxBackoffMs = 20_000

export type RetrySettings = Pick<HubSettings, 'attempts' | 'backoffMs' | 'maxRetryAfterMs' | 'signal'>

/**
 * Calls `attempt` until it succeeds or fails for good. Attempts that brought something (`progressOf` grew) do not
 * count, so that a long download survives any number of cuts.
 *
 * @throws EspalierError MODEL_DOWNLOAD_FAILED after `attempts` transient failures in a row, or when the server asks
 *   for a longer pause than allowed; the reason of the signal; anything else that `attempt` throws
 */
export async function retryTransient<T>(
  attempt: () => Promise<T>,
  what: string,
  settings: RetrySettings,
  progressOf: () => number = () => 0,
): Promise<T> {
  for (let failures = 1, best = progressOf(); ; failures++) {
    settings.signal?.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      settings.signal?.throwIfAborted()
      if (!(error instanceof TransientFailure)) throw error
      if (progressOf() > best) failures = 1
      best = Math.max(best, progressOf())
      if (failures >= settings.attempts) throw giveUp(what, error, `after ${failures} attempts in a row`)
      const pauseMs = error.retryAfterMs ?? Math.min(settings.backoffMs * 2 ** (failures - 1), maxBackoffMs)
      if (pauseMs > settings.maxRetryAfterMs) {
        throw giveUp(what, error, `the server asks to wait ${Math.ceil(pauseMs / 1000)} s`)
      }
      await sleep(pauseMs, undefined, settings.signal ? { signal: settings.signal } : {}).catch(() => undefined)
    }
  }
}

function giveUp(what: string, failure: TransientFailure, why: string): EspalierError {
  return new EspalierError(
    'MODEL_DOWNLOAD_FAILED',
    `${what}: ${failure.message}; given up, ${why}. What has arrived is kept: the same command goes on from there`,
    { source: what, found: failure.message },
    { cause: failure },
  )
}

/**
 * The pause a busy server asks for, milliseconds: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), else the
 * `t=` of the hub's `RateLimit` header.
 */
export function parseRetryAfterMs(headers: Headers, nowMs: number): number | null {
  const value = headers.get('retry-after')?.trim() ?? /(?:^|[;,\s])t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1]
  if (value === undefined || value === '') return null
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000
  const at = Date.parse(value)
  return Number.isNaN(at) ? null : Math.max(0, at - nowMs)
}
