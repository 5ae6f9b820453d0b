import { EspalierError } from '@espalier/contracts'
import { defaultEndpoint, type ModelHubOptions } from '@espalier/model-hub'

/** Somebody waits for the answer: a hub that is slow or busy is reported rather than waited for. */
const patience = { attempts: 2, backoffMs: 200, stallMs: 5_000, maxRetryAfterMs: 1_000 }
const longestMs = 15_000

/**
 * Asks the hub something while a client waits.
 *
 * @throws MODEL_DOWNLOAD_FAILED when it takes too long; what `ask` throws
 */
export async function askHub<T>(
  hub: ModelHubOptions,
  what: string,
  ask: (options: ModelHubOptions) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.timeout(longestMs)
  return ask({ ...patience, ...hub, signal }).catch((error: unknown) => {
    if (!signal.aborted || error instanceof EspalierError) throw error
    const endpoint = hub.endpoint ?? defaultEndpoint
    const message = `${what}: ${endpoint} did not answer within ${longestMs / 1000} s; try again`
    throw new EspalierError('MODEL_DOWNLOAD_FAILED', message, { source: what, endpoint })
  })
}
