import { setTimeout as sleep } from 'node:timers/promises'

export interface RetryOptions {
  /** Most calls of `fn`; Infinity: until it succeeds, the error is of another kind, or the signal aborts. */
  readonly attempts: number
  /** Whether an error is worth another attempt. */
  readonly while: (error: unknown) => boolean
  /** Pause after the first failed attempt; doubles each time, up to `maxBackoffMs`. */
  readonly backoffMs: number
  readonly maxBackoffMs?: number
  /** Ends the waiting; the last error of `fn` is then thrown. */
  readonly signal?: AbortSignal
  /** Told of every failed attempt that will be repeated. */
  readonly onRetry?: (error: unknown, attempt: number) => void
}

/** Calls `fn` until it succeeds; throws its last error when it may not be called again. */
export async function retry<T>(fn: () => Promise<T>, options: RetryOptions): Promise<T> {
  const maxBackoffMs = options.maxBackoffMs ?? 2_000
  for (let attempt = 1; ; attempt++) {
    try {
      return await fn()
    } catch (error) {
      if (attempt >= options.attempts || options.signal?.aborted || !options.while(error)) throw error
      options.onRetry?.(error, attempt)
      const pauseMs = Math.min(options.backoffMs * 2 ** (attempt - 1), maxBackoffMs)
      const interrupted = await sleep(pauseMs, false, options.signal ? { signal: options.signal } : {}).catch(
        () => true,
      )
      if (interrupted) throw error
    }
  }
}
