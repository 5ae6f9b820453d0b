import { Worker } from 'node:worker_threads'
import { EspalierError, reviveError } from '@espalier/contracts'
import type { Proposal } from '@espalier/policy-agent'
import type { ProposeRequest, ThreadMessage } from './propose-messages.js'

export interface Proposer {
  /** What trains policy networks here: `tensorflow`, `wasm` or `cpu`. */
  readonly backend: string
  /**
   * Runs the agent in the thread; one request after the other.
   * @throws what `proposePolicies` throws; the signal's reason when aborted; INTERNAL when the thread dies
   */
  propose(request: ProposeRequest, signal: AbortSignal): Promise<Proposal>
  close(): Promise<void>
}

interface Thread {
  readonly worker: Worker
  readonly backend: string
  /** False once it has ended, for whatever reason. */
  isAlive: boolean
}

/** Starts the thread and waits until it works. A thread that died or was stopped by an abort is replaced when needed. */
export async function createProposer(): Promise<Proposer> {
  let thread = await startThread()
  const { backend } = thread
  let turn: Promise<unknown> = Promise.resolve()

  const run = async (request: ProposeRequest, signal: AbortSignal): Promise<Proposal> => {
    signal.throwIfAborted()
    if (!thread.isAlive) thread = await startThread()
    const { worker } = thread
    const stop = () => void endThread(thread)
    signal.addEventListener('abort', stop, { once: true })
    try {
      const answer = nextMessage(worker)
      worker.postMessage(request)
      const message = await answer
      if (message.type === 'proposed') return message.proposal
      throw message.type === 'failed'
        ? reviveError(message.error)
        : new EspalierError('INTERNAL', 'Two starts of one thread')
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  return {
    backend,
    propose(request, signal) {
      const result = turn.then(() => run(request, signal))
      turn = result.catch(() => undefined)
      return result
    },
    async close() {
      await endThread(thread)
      await turn
    },
  }
}

async function startThread(): Promise<Thread> {
  const worker = new Worker(new URL('../dist/propose-thread.js', import.meta.url))
  const message = await nextMessage(worker)
  if (message.type !== 'ready') {
    throw new EspalierError('INTERNAL', `The thread of the agent started with "${message.type}" instead of "ready"`)
  }
  const thread = { worker, backend: message.backend, isAlive: true }
  const bury = () => {
    thread.isAlive = false
  }
  // A thread may also die while it has nothing to do; an error without a listener would end the process.
  worker.on('exit', bury).on('error', bury)
  return thread
}

async function endThread(thread: Thread): Promise<void> {
  thread.isAlive = false
  await thread.worker.terminate()
}

/** The next message of the thread; rejects when it ends or breaks first. */
function nextMessage(worker: Worker): Promise<ThreadMessage> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      worker.off('message', onMessage).off('error', onError).off('exit', onExit)
      finish()
    }
    const onMessage = (message: ThreadMessage) => settle(() => resolve(message))
    const onError = (error: Error) => settle(() => reject(error))
    const onExit = (code: number) =>
      settle(() => reject(new EspalierError('INTERNAL', `The thread of the agent ended with code ${code}`)))
    worker.on('message', onMessage).on('error', onError).on('exit', onExit)
  })
}
