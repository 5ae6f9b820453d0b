import type { Logger } from '@espalier/runtime'
import { isConnectionError, type Lease, type Store } from '@espalier/store'

/** Why the work on a step ends before it is done. */
export type StopReason = 'lost' | 'cancelled' | 'stopping'

export class WorkStoppedError extends Error {
  constructor(readonly reason: StopReason) {
    super(`the work ends: ${reason}`)
    this.name = 'WorkStoppedError'
  }
}

export interface LeaseKeeper {
  stop(): void
}

/** Renewals in a lease: two may fail before it runs out. */
const RENEWALS_A_LEASE = 3

/**
 * Renews a lease until stopped, whatever the processor does. A database that does not answer is no loss: the lease
 * may run out, but the fencing token decides in the end who writes.
 */
export function keepLease(options: {
  readonly store: Pick<Store, 'steps'>
  readonly lease: Lease
  readonly leaseMs: number
  readonly logger: Logger
  readonly onStop: (reason: StopReason) => void
}): LeaseKeeper {
  const { store, lease, leaseMs, logger, onStop } = options
  let beating = false
  const beat = async () => {
    if (beating) return
    beating = true
    try {
      const state = await store.steps.heartbeat(lease, leaseMs)
      if (state !== 'held') onStop(state)
    } catch (error) {
      if (isConnectionError(error)) logger.warn('the lease could not be renewed: the database does not answer')
      else logger.error({ err: error }, 'the lease could not be renewed')
    } finally {
      beating = false
    }
  }
  const timer = setInterval(beat, leaseMs / RENEWALS_A_LEASE)
  return { stop: () => clearInterval(timer) }
}
