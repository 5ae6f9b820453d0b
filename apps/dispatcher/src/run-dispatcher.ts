import { workerRoles } from '@espalier/contracts'
import type { WorkQueue } from '@espalier/queue'
import type { Configuration, Logger, Running } from '@espalier/runtime'
import { isConnectionError, type Store } from '@espalier/store'
import { createAdvancer } from './create-advancer.js'

/** How often lost leases and lost wakes are looked for. Well under the lease, so that a killed worker's step moves on. */
const SWEEP_MS = 1000
/** A pending step that nobody took this long after its wake is woken again. */
const STALE_WAKE_MS = 3000
/** Workers silent for so long are forgotten. */
const DEAD_WORKER_MS = 10 * 60_000

export interface DispatcherOptions {
  readonly store: Store
  readonly queue: WorkQueue
  readonly logger: Logger
  readonly config: Configuration
}

/**
 * Advances searches when it is woken, and looks after what nobody would be woken for: expired leases, wakes that were
 * lost, searches that were left behind by a killed dispatcher. Any number may run: rows are locked, steps have unique keys.
 */
export async function runDispatcher({ store, queue, logger, config }: DispatcherOptions): Promise<Running> {
  const workerId = await store.workers.register({
    role: 'dispatcher',
    node: config.node,
    pid: process.pid,
    details: {},
  })
  const advancer = createAdvancer({ store, queue, logger })

  const sweep = async (): Promise<void> => {
    await store.workers.heartbeat(workerId)
    const swept = await store.steps.sweep({ staleWakeMs: STALE_WAKE_MS })
    for (const role of workerRoles) {
      if (swept.wake[role].length > 0) await queue.wake(role, [...swept.wake[role]])
    }
    const active = await store.searches.listActive()
    advancer.keepOnly(active)
    for (const searchId of new Set([...swept.searches, ...active])) {
      await advancer.advance(searchId)
    }
    await store.workers.removeDead(DEAD_WORKER_MS)
  }

  const listener = await queue.listen('dispatcher', 4, (searchId) => advancer.advance(searchId))
  const sweeper = repeat(sweep, SWEEP_MS, (error) => {
    if (isConnectionError(error)) logger.warn('the database does not answer; trying again')
    else logger.error({ err: error }, 'sweep failed')
  })
  return {
    async stop() {
      await sweeper.stop()
      await listener.close()
      await store.workers.remove(workerId).catch(() => undefined)
    },
  }
}

/** Runs `task` again and again with a pause between the end of one run and the start of the next. */
function repeat(task: () => Promise<void>, pauseMs: number, onError: (error: unknown) => void): Running {
  let stopped = false
  let timer: NodeJS.Timeout | undefined
  let current = Promise.resolve()
  const run = () => {
    current = task()
      .catch(onError)
      .finally(() => {
        if (!stopped) timer = setTimeout(run, pauseMs)
      })
  }
  run()
  return {
    async stop() {
      stopped = true
      clearTimeout(timer)
      await current
    },
  }
}
