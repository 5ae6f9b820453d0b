import type { FastifyBaseLogger } from 'fastify'
import type { ApiServices } from '../../services.js'

/**
 * Tells the dispatcher that a search has changed. The row is the truth and the dispatcher looks at all active
 * searches now and then, so a queue that cannot be reached delays a search and fails nothing.
 */
export async function wakeDispatcher(
  { queue }: Pick<ApiServices, 'queue'>,
  searchId: string,
  log: FastifyBaseLogger,
): Promise<void> {
  try {
    await queue.wake('dispatcher', [searchId])
  } catch (error) {
    log.warn({ err: error, searchId }, 'the dispatcher could not be woken; it will look by itself')
  }
}
