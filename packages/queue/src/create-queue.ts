import { setTimeout as sleep } from 'node:timers/promises'
import type { WorkerRole } from '@espalier/contracts'
import { type Backend, createBackendOnPostgres, createBackendOnRedis, type Sender } from './backend.js'
import { type Listener, listen } from './listen.js'
import { settleWithin } from './settle-within.js'

/** Who can be woken. Workers are woken with step ids, the dispatcher with search ids. */
export type WakeTarget = WorkerRole | 'dispatcher'

/**
 * Wakes processes. A hint and no more: rows say what is to be done, and everyone also looks for work himself now
 * and then. So a wake may come twice, or be lost with its server, without harm.
 */
export interface WorkQueue {
  /** Wakes one listener for each id. Never throws: what cannot be sent in a few seconds is reported and dropped. */
  wake(target: WakeTarget, ids: readonly string[]): Promise<void>
  /** Calls `process` for each id, at most `concurrency` at a time, until closed. Its errors are reported, not repeated. */
  listen(target: WakeTarget, concurrency: number, process: (id: string) => Promise<void>): Listener
  close(): Promise<void>
}

export interface QueueOptions {
  readonly databaseUrl: string
  /** Redis to use instead of Postgres. */
  readonly redisUrl?: string | null | undefined
  /** Told of trouble that the queue gets over by itself, for the log. */
  readonly onError?: (error: Error) => void
}

/** Longest that a wake is tried for, and one attempt of it, milliseconds: about the restart of a database. */
const giveUpAfterMs = 5_000
const sendWithinMs = 2_000
const retryMs = 250
const closeWithinMs = 3_000

/** Sends to one queue; a sender that failed is replaced, since BullMQ remembers a failed first connection for ever. */
function createPersistentSender(backend: Backend, queue: string, onError: (error: Error) => void) {
  let sender: Sender | null = null
  const closing = new AbortController()
  const send = async (ids: readonly string[]): Promise<boolean> => {
    sender ??= backend.openSender(queue, onError)
    const used = sender
    const sent = await settleWithin(
      used.ready().then(() => used.add(ids)),
      sendWithinMs,
    )
    if (!sent && sender === used) {
      sender = null
      void settleWithin(used.close(), closeWithinMs)
    }
    return sent
  }
  return {
    async send(ids: readonly string[]): Promise<void> {
      const end = performance.now() + giveUpAfterMs
      while (!closing.signal.aborted && performance.now() < end) {
        if (await send(ids)) return
        await sleep(retryMs, undefined, { signal: closing.signal }).catch(() => {})
      }
      onError(new Error(`${ids.length} wakes for ${queue} could not be sent`))
    },
    async close(): Promise<void> {
      closing.abort()
      if (sender) await settleWithin(sender.close(), closeWithinMs)
    },
  }
}

/**
 * Opens the queue: in Postgres (schema `queue`, made if absent), or in Redis when its URL is given.
 * Connects lazily and again after every loss; a server that is away never ends the process.
 */
export function createQueue(options: QueueOptions): WorkQueue {
  const onError = options.onError ?? (() => {})
  const backend = options.redisUrl
    ? createBackendOnRedis(options.redisUrl)
    : createBackendOnPostgres(options.databaseUrl)
  const senders = new Map<WakeTarget, ReturnType<typeof createPersistentSender>>()
  const listeners: Listener[] = []
  const senderFor = (target: WakeTarget) => {
    const known = senders.get(target)
    if (known) return known
    const sender = createPersistentSender(backend, target, onError)
    senders.set(target, sender)
    return sender
  }
  return {
    async wake(target, ids) {
      if (ids.length > 0) await senderFor(target).send(ids)
    },
    listen(target, concurrency, process) {
      const listener = listen(backend, { queue: target, concurrency, process, onError })
      listeners.push(listener)
      return listener
    },
    async close() {
      await Promise.all(listeners.map((listener) => listener.close()))
      await Promise.all([...senders.values()].map((sender) => sender.close()))
    },
  }
}
