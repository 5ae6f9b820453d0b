import { EspalierError, type ModelShape } from '@espalier/contracts'
import { type EvaluatorDevice, estimateEvaluatorMemory, largestBatch } from '@espalier/cost-model'
import { findOutOfMemory, type OutOfMemory } from './out-of-memory.js'

/** The memory of an evaluator. */
export interface EvaluatorMemory {
  readonly shape: ModelShape
  readonly device: EvaluatorDevice
  /** Bytes that it may take; null: no limit is known. */
  readonly limitBytes: number | null
}

/**
 * How many tokens a run may hold. Starts at what the formula allows within the limit; when memory runs out all the same,
 * halves the windows of a run, starts the evaluation again and remembers: no later evaluation tries what has failed.
 */
export class FittingBatch {
  readonly #memory: EvaluatorMemory
  #mostTokens = Number.POSITIVE_INFINITY

  constructor(memory: EvaluatorMemory) {
    this.#memory = memory
  }

  /**
   * Calls `run` with at most `wanted` windows a batch.
   *
   * @throws EspalierError EVALUATION_OUT_OF_MEMORY with needed and limit, when not even one window fits
   */
  async run<T>(windowLength: number, wanted: number, run: (batchWindows: number) => Promise<T>): Promise<T> {
    let batch = this.#firstBatch(windowLength, wanted)
    for (;;) {
      try {
        return await run(batch)
      } catch (error) {
        const found = findOutOfMemory(error)
        if (found === null) throw error
        if (batch === 1) throw this.#refuse(windowLength, found, error)
        batch = Math.floor(batch / 2)
        this.#mostTokens = batch * windowLength
      }
    }
  }

  #firstBatch(windowLength: number, wanted: number): number {
    const { shape, device, limitBytes } = this.#memory
    const tried = Math.max(1, Math.min(wanted, Math.floor(this.#mostTokens / windowLength)))
    if (limitBytes === null) return tried
    const batch = largestBatch(shape, device, windowLength, { wanted: tried, limitBytes })
    if (batch === 0) throw this.#refuse(windowLength, null)
    return batch
  }

  #refuse(windowLength: number, found: OutOfMemory | null, cause?: unknown): EspalierError {
    return outOfMemory(this.#memory, windowLength, found, cause)
  }
}

/** Not even one window fits. */
export function outOfMemory(
  { shape, device, limitBytes }: EvaluatorMemory,
  windowLength: number,
  found: OutOfMemory | null,
  cause?: unknown,
): EspalierError {
  const neededBytes = estimateEvaluatorMemory(shape, device, windowLength, 1).totalBytes
  const requestedBytes = found?.requestedBytes ?? null
  const allowed = limitBytes === null ? 'no limit was set' : `the limit is ${gigabytes(limitBytes)} GB`
  const failed = requestedBytes === null ? '' : `; an allocation of ${gigabytes(requestedBytes)} GB failed`
  return new EspalierError(
    'EVALUATION_OUT_OF_MEMORY',
    `One window of ${windowLength} tokens needs about ${gigabytes(neededBytes)} GB on ${device.provider}; ${allowed}${failed}. Use shorter windows or an evaluator with more memory`,
    { neededBytes, limitBytes, requestedBytes, windowLength, provider: device.provider },
    { cause },
  )
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(2)
}
