import { Worker } from 'node:worker_threads'
import { EspalierError, reviveError } from '@espalier/contracts'
import type { Generation, GenerationAnswer, GenerationRequest } from './generation-messages.js'

/** Generates policies in a thread of this process, which keeps the generators of the last searches in memory. */
export interface PolicyGeneration {
  /**
   * @param path of a generator file
   * @throws EspalierError SPARSITY_UNTRAINED; INTERNAL when the thread dies
   */
  generate(path: string, sparsities: readonly number[]): Promise<Generation>
  close(): Promise<void>
}

interface Waiting {
  readonly resolve: (generation: Generation) => void
  readonly reject: (error: unknown) => void
}

/** The thread starts with the first request; one that died is replaced. */
export function createPolicyGeneration(): PolicyGeneration {
  const waiting = new Map<number, Waiting>()
  let worker: Worker | undefined
  let nextId = 0

  const settle = (answer: GenerationAnswer) => {
    const request = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('generation' in answer) request?.resolve(answer.generation)
    else request?.reject(reviveError(answer.error))
  }

  const start = (): Worker => {
    const started = new Worker(new URL('../../dist/generation-thread.js', import.meta.url))
    const bury = (reason: string) => {
      if (worker !== started) return
      worker = undefined
      const error = new EspalierError('INTERNAL', `The thread that generates policies ended: ${reason}`)
      for (const { reject } of waiting.values()) reject(error)
      waiting.clear()
    }
    started.on('message', settle)
    started.on('error', (error) => bury(error.message))
    started.on('exit', (code) => bury(`code ${code}`))
    started.unref()
    return started
  }

  return {
    generate(path, sparsities) {
      worker ??= start()
      const request: GenerationRequest = { id: nextId++, path, sparsities }
      return new Promise((resolve, reject) => {
        waiting.set(request.id, { resolve, reject })
        worker?.postMessage(request)
      })
    },
    async close() {
      await worker?.terminate()
    },
  }
}
