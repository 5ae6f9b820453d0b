import { Worker } from 'node:worker_threads'
import { EspalierError, reviveError } from '@espalier/contracts'
import type { RunOptions } from './evaluator.js'
import type {
  ThreadCall,
  ThreadCallKind,
  ThreadPayload,
  ThreadReply,
  ThreadRequest,
  ThreadResults,
} from './thread-calls.js'

const threadFile = new URL('../dist/evaluation-thread.js', import.meta.url)

/** The main thread's end of an evaluation thread. Calls run one after another; a dead thread is replaced. */
export class ThreadClient {
  readonly #file: URL
  #worker: Worker | null = null
  #lastCall: Promise<unknown> = Promise.resolve()
  #abortRunning: (() => void) | null = null
  #closed = false

  constructor(file: URL = threadFile) {
    this.#file = file
  }

  /** Waits for the calls before it, then runs. @throws EspalierError of the thread, or EVALUATION_FAILED if it dies */
  call<K extends ThreadCallKind>(
    kind: K,
    payload: ThreadPayload<K>,
    options: RunOptions = {},
  ): Promise<ThreadResults[K]> {
    const result = this.#lastCall.then(() => {
      options.signal?.throwIfAborted()
      if (this.#closed) throw closedError()
      return this.#run(kind, payload, options)
    })
    this.#lastCall = result.catch(() => undefined)
    return result
  }

  /** Gives up the call under way after its batch, frees the sessions and ends the thread. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#abortRunning?.()
    await this.#lastCall
    const worker = this.#worker
    if (worker === null) return
    const exited = new Promise((resolve) => worker.once('exit', resolve))
    await this.#run('close', null, {}).catch(() => worker.terminate())
    await exited
  }

  #run<K extends ThreadCallKind>(
    kind: K,
    payload: ThreadPayload<K>,
    { signal, onProgress, onModule }: RunOptions,
  ): Promise<ThreadResults[K]> {
    const worker = this.#worker ?? this.#start()
    const abort = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    const stop = () => {
      Atomics.store(abort, 0, 1)
    }
    return new Promise<ThreadResults[K]>((resolve, reject) => {
      const settle = (finish: () => void) => {
        worker.off('message', onReply).off('error', onError).off('exit', onExit)
        signal?.removeEventListener('abort', stop)
        this.#abortRunning = null
        finish()
      }
      const onReply = (reply: ThreadReply) => {
        if (reply.kind === 'progress') onProgress?.(reply.windowsDone)
        else if (reply.kind === 'module') onModule?.(reply.work)
        else if (reply.kind === 'failed') settle(() => reject(reviveError(reply.error)))
        // Its last batch may have been done before it was told to stop.
        else if (signal?.aborted) settle(() => reject(signal.reason))
        else if (reply.kind === 'aborted') settle(() => reject(closedError()))
        // The thread answers a call with the result of its kind.
        else settle(() => resolve(reply.value as ThreadResults[K]))
      }
      const onError = (error: Error) => settle(() => reject(lostError(error.message)))
      const onExit = (code: number) => settle(() => reject(lostError(`exit code ${code}`)))
      worker.on('message', onReply).on('error', onError).on('exit', onExit)
      signal?.addEventListener('abort', stop)
      this.#abortRunning = stop
      worker.postMessage({ call: { kind, payload } as ThreadCall, abort } satisfies ThreadRequest)
    })
  }

  #start(): Worker {
    const worker = new Worker(this.#file)
    const forget = () => {
      if (this.#worker === worker) this.#worker = null
    }
    worker.on('error', forget).on('exit', forget)
    this.#worker = worker
    return worker
  }
}

function closedError(): EspalierError {
  return new EspalierError('EVALUATION_FAILED', 'The evaluator was closed')
}

function lostError(reason: string): EspalierError {
  return new EspalierError('EVALUATION_FAILED', `The evaluation thread died: ${reason}`, { reason })
}
