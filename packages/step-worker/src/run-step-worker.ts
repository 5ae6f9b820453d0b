import type { EvaluatorCapacity, WorkerRole } from '@espalier/contracts'
import type { WorkQueue } from '@espalier/queue'
import { type Configuration, type Logger, type Running, retry } from '@espalier/runtime'
import { isConnectionError, type Lease, type Store } from '@espalier/store'
import { performStep } from './perform-step.js'
import type { Processors } from './processor.js'

/** How often an idle worker looks for work that nobody woke it for. */
const POLL_MS = 2000
const WORKER_HEARTBEAT_MS = 4000
/** How long a stopping worker lets its current step go on before it gives it back. */
const GRACE_MS = 3000

export interface StepWorkerOptions {
  readonly role: WorkerRole
  readonly store: Store
  readonly queue: WorkQueue
  readonly logger: Logger
  readonly config: Pick<Configuration, 'node' | 'leaseMs'>
  /** Steps at a time. */
  readonly concurrency: number
  /** What the worker tells about itself: threads, provider, backend. */
  readonly details: Readonly<Record<string, unknown>>
  readonly processors: Processors
  /** Only steps that it can do are claimed; absent: all of the role. */
  readonly capacity?: EvaluatorCapacity
}

/**
 * The loop that all workers share: claim a step, keep its lease, do it, record its outcome, look for the next.
 * Wakes make it quick; a poll makes it certain.
 */
export async function runStepWorker(options: StepWorkerOptions): Promise<Running> {
  const { store, queue, role, logger, concurrency } = options
  const registration = { role, node: options.config.node, pid: process.pid, details: options.details }
  const workerId = await retry(() => store.workers.register(registration), {
    attempts: Number.POSITIVE_INFINITY,
    while: isConnectionError,
    backoffMs: 200,
    onRetry: (error) => reportClaimError(logger, error),
  })
  const { capacity } = options
  const claimOptions = { workerId, leaseMs: options.config.leaseMs, ...(capacity && { capacity }) }
  const stopping = new AbortController()
  const performOptions = { ...options, leaseMs: options.config.leaseMs, stopping: stopping.signal }
  const active = new Set<Promise<void>>()
  let stopped = false

  const workOff = async (first: () => Promise<Lease | undefined>): Promise<void> => {
    let lease = await first()
    while (lease) {
      await performStep(performOptions, lease)
      // not awaited: a queue that is away must not keep the next step waiting
      void queue.wake('dispatcher', [lease.searchId])
      lease = stopped ? undefined : await store.steps.claimNext(role, claimOptions)
    }
  }
  /** Nothing when all hands are busy: the first that is free looks by itself. */
  const take = async (first: () => Promise<Lease | undefined>): Promise<void> => {
    if (stopped || active.size >= concurrency) return
    const work = workOff(first).catch((error: unknown) => reportClaimError(logger, error))
    active.add(work)
    await work.finally(() => active.delete(work))
  }

  /** Holds a wake while all hands are busy, so that the ones behind it go to workers that are free. */
  const answer = async (stepId: string): Promise<void> => {
    while (!stopped && active.size >= concurrency) await Promise.race(active)
    await take(() => store.steps.claim(stepId, claimOptions))
  }

  const listener = queue.listen(role, concurrency, answer)
  const poll = setInterval(() => take(() => store.steps.claimNext(role, claimOptions)), POLL_MS)
  const heartbeat = setInterval(() => beat(store, workerId, registration, logger), WORKER_HEARTBEAT_MS)
  return {
    async stop() {
      stopped = true
      listener.pause()
      clearInterval(poll)
      const grace = setTimeout(() => stopping.abort(), GRACE_MS)
      await Promise.all(active)
      clearTimeout(grace)
      clearInterval(heartbeat)
      await listener.close()
      await store.workers.remove(workerId).catch(() => undefined)
    },
  }
}

async function beat(
  store: Store,
  id: string,
  registration: Parameters<Store['workers']['register']>[0],
  logger: Logger,
): Promise<void> {
  try {
    if (!(await store.workers.heartbeat(id))) await store.workers.register({ ...registration, id })
  } catch (error) {
    reportClaimError(logger, error)
  }
}

function reportClaimError(logger: Logger, error: unknown): void {
  if (isConnectionError(error)) logger.warn('the database does not answer; trying again')
  else logger.error({ err: error }, 'no step could be claimed')
}
