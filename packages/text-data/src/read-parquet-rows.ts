import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { reviveError } from '@espalier/contracts'
import type { ParquetThreadData, ParquetThreadMessage } from './parquet-messages.js'
import { invalidText } from './text-error.js'
import type { TextRow } from './text-row.js'

/**
 * Longest time for one row group, of at most 512 MB: some seconds do for a good one, while the counts of a bad one can
 * ask for the same value two thousand million times.
 */
const groupTimeoutMs = 60_000

/** A row group of texts and its decoded strings; a bad file ends its own thread and nothing else. */
const threadHeapMegabytes = 3072

/**
 * The texts of one column of a Parquet file; see `readInThread`.
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID
 */
export async function* readParquetRows(file: string, column: string, mostRows: number): AsyncGenerator<TextRow> {
  for await (const answer of readInThread({ file, wanted: { column }, mostRows })) {
    if (answer.kind === 'rows') for (const text of answer.rows) yield { text, bytes: null }
  }
}

/**
 * Answers for one row group after another. The file is decoded in a thread of its own, since that neither yields
 * (heartbeats would stop) nor can be stopped, and since a bad file may ask for any amount of memory.
 *
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID
 */
export async function* readInThread(workerData: ParquetThreadData): AsyncGenerator<ParquetThreadMessage> {
  const worker = new Worker(new URL('../dist/parquet-thread.js', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: threadHeapMegabytes },
  })
  try {
    for (;;) {
      const answer = await ask(worker, workerData.file)
      if (answer.kind === 'end') return
      if (answer.kind === 'error') throw reviveError(answer.error)
      yield answer
    }
  } finally {
    await worker.terminate()
  }
}

/** @throws EspalierError TEXT_INVALID when the thread fails, ends or takes too long */
async function ask(worker: Worker, file: string): Promise<ParquetThreadMessage> {
  const answered = new AbortController()
  const signal = AbortSignal.any([answered.signal, AbortSignal.timeout(groupTimeoutMs)])
  const answers: Promise<ParquetThreadMessage[]> = once(worker, 'message', { signal })
  const end = once(worker, 'exit', { signal }).then(() => Promise.reject(new Error('its thread ended')))
  worker.postMessage('next')
  try {
    const [answer] = await Promise.race([answers, end])
    if (answer === undefined) throw new Error('its thread gave no answer')
    return answer
  } catch (cause) {
    const isLate = cause instanceof Error && cause.name === 'AbortError'
    const reason = isLate ? `a row group takes more than ${groupTimeoutMs / 1000} s` : String(cause)
    throw invalidText(file, `not Parquet that can be read: ${reason}`, {}, cause)
  } finally {
    answered.abort()
  }
}
