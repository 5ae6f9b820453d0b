import { Worker } from 'node:worker_threads'
import { EspalierError, reviveError } from '@espalier/contracts'
import type { TrainedPredictor, TrainMessage, TrainRequest } from './train-messages.js'

/**
 * Trains a predictor in a thread of its own.
 * @throws what `trainPredictor` throws; the signal's reason when aborted; INTERNAL when the thread dies
 */
export async function trainInThread(request: TrainRequest, signal: AbortSignal): Promise<TrainedPredictor> {
  signal.throwIfAborted()
  const thread = new Worker(new URL('../dist/train-thread.js', import.meta.url), { workerData: request })
  return new Promise<TrainedPredictor>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    thread.once('message', (message: TrainMessage) => {
      if (message.type === 'trained') resolve(message.predictor)
      else reject(reviveError(message.error))
    })
    thread.once('error', reject)
    thread.once('exit', (code) => reject(new EspalierError('INTERNAL', `The training thread ended with code ${code}`)))
  }).finally(() => thread.terminate())
}
