import { parentPort } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import { proposePolicies, tensorBackendName } from '@espalier/policy-agent'
import { anyPredictorFromJSON } from '@espalier/predictor-cnn'
import { createPolicyRules } from '@espalier/pruning'
import type { ProposeRequest, ThreadMessage } from './propose-messages.js'

/** Trains and searches for seconds without a pause: here, so that the main thread can keep its leases. */
async function propose({
  shape,
  predictor,
  targets,
  constraints,
  latencies,
  ...task
}: ProposeRequest): Promise<ThreadMessage> {
  try {
    const rules = createPolicyRules(shape, { targets, constraints }, latencies)
    const proposal = await proposePolicies({
      ...task,
      model: rules.model,
      targets: rules.targets.map(({ sparsity }) => sparsity),
      rules,
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
