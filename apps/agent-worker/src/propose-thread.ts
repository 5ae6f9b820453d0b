import { parentPort } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import { proposePolicies, tensorBackendName } from '@espalier/policy-agent'
import { anyPredictorFromJSON } from '@espalier/predictor-cnn'
import { createPrunableModel } from '@espalier/pruning'
import type { ProposeRequest, ThreadMessage } from './propose-messages.js'

/** Trains and searches for seconds without a pause: here, so that the main thread can keep its leases. */
async function propose({ shape, predictor, ...task }: ProposeRequest): Promise<ThreadMessage> {
  try {
    const proposal = await proposePolicies({
      ...task,
      model: createPrunableModel(shape),
      predictor: predictor === null ? null : anyPredictorFromJSON(predictor),
    })
    return { type: 'proposed', proposal }
  } catch (error) {
    return { type: 'failed', error: recordError(error) }
  }
}

const say = (message: ThreadMessage) => parentPort?.postMessage(message)
parentPort?.on('message', async (request: ProposeRequest) => say(await propose(request)))
say({ type: 'ready', backend: await tensorBackendName() })
