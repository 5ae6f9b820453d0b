import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Backend, Receiver } from './backend.js'
import { settleWithin } from './settle-within.js'

export interface Listener {
  /** Takes no more wakes, for good; those being processed go on. One may still come that was on its way. */
  pause(): void
  /** Waits for the wakes being processed, then lets go. */
  close(): Promise<void>
}

export interface ListenOptions {
  readonly queue: string
  readonly concurrency: number
  readonly process: (id: string) => Promise<void>
  readonly onError: (error: Error) => void
}

const wakeSchema = z.object({ id: z.string() })
/** Between attempts to connect, milliseconds. */
const reconnectMs = 500
/** A close waits for its server this long; one that is away must not keep the process. */
const closeWithinMs = 3_000

const toError = (error: unknown) => (error instanceof Error ? error : new Error(String(error)))

/**
 * Listens to a queue until closed, whatever happens to the server: a receiver that cannot connect, or whose
 * loop ends, is replaced by a new one. (BullMQ remembers a failed first connection for ever.)
 */
export function listen(backend: Backend, options: ListenOptions): Listener {
  const stopping = new AbortController()
  const busy = new Set<Promise<void>>()
  let receiver: Receiver | null = null

  /** An error of the processor is reported, never repeated by the queue. */
  const process = (data: unknown): Promise<void> => {
    const work = (async () => options.process(wakeSchema.parse(data).id))().catch((error: unknown) =>
      options.onError(toError(error)),
    )
    busy.add(work)
    return work.finally(() => busy.delete(work))
  }

  const receiveOnce = async (): Promise<void> => {
    const opened = backend.openReceiver(options.queue, options.concurrency, process, options.onError)
    receiver = opened
    try {
      await opened.ready()
      if (!stopping.signal.aborted) await opened.run()
    } catch (error) {
      options.onError(toError(error))
    } finally {
      if (!(await settleWithin(opened.close(), closeWithinMs))) opened.abandon()
    }
  }

  const receiving = (async () => {
    while (!stopping.signal.aborted) {
      await receiveOnce()
      await sleep(reconnectMs, undefined, { signal: stopping.signal }).catch(() => {})
    }
  })()

  // the wake at work may take minutes: nobody waits for it here
  const pause = () => {
    if (!stopping.signal.aborted) receiver?.close().catch(options.onError)
    stopping.abort()
  }
  return {
    pause,
    async close() {
      pause()
      await Promise.all(busy)
      if (!(await settleWithin(receiving, closeWithinMs))) receiver?.abandon()
    },
  }
}
