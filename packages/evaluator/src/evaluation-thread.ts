/** Entry of the worker thread: the only place where ONNX Runtime runs, because its calls block their thread. */
import { parentPort } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import { buildEvaluationGraph, openModel } from '@espalier/model-graph'
import { calibrateModel } from './calibrate-model.js'
import { createSession, locateWeights } from './create-session.js'
import { FittedWeights } from './fitted-weights.js'
import { measureLogits } from './measure-logits.js'
import { measurePolicy, type PolicySession } from './measure-policy.js'
import { runProducts } from './run-products.js'
import { Aborted, type CallControl } from './run-windows.js'
import type {
  ThreadCall,
  ThreadCallKind,
  ThreadModel,
  ThreadReply,
  ThreadRequest,
  ThreadResults,
} from './thread-calls.js'

const port = parentPort
if (port === null) throw new Error('evaluation-thread.js runs as a worker thread only')
let opened: PolicySession | null = null

port.on('message', async ({ call, abort }: ThreadRequest) => {
  const reply = (message: ThreadReply) => port.postMessage(message)
  const control: CallControl = {
    isAborted: () => Atomics.load(abort, 0) !== 0,
    report: (windowsDone) => reply({ kind: 'progress', windowsDone }),
  }
  try {
    reply({ kind: 'done', value: await answer(call, control) })
  } catch (error) {
    reply(
      error instanceof Aborted
        ? { kind: 'aborted' }
        : { kind: 'failed', error: recordError(error, 'EVALUATION_FAILED') },
    )
  }
  if (call.kind === 'close') port.close()
})

async function answer(call: ThreadCall, control: CallControl): Promise<ThreadResults[ThreadCallKind]> {
  switch (call.kind) {
    case 'open':
      await open(call.payload.model)
      return null
    case 'measure': {
      const session = await open(call.payload.model)
      return measurePolicy(session, call.payload.request, call.payload.model.batchWindows, control)
    }
    case 'calibrate': {
      const { model } = await open(call.payload.model)
      return calibrateModel(model, call.payload.model, call.payload.tokens, call.payload.model.batchWindows, control)
    }
    case 'measureLogits':
      return measureLogits(call.payload.path, call.payload.tokens, call.payload.threads, control)
    case 'measureProductPeak':
      return runProducts(call.payload.threads)
    case 'close':
      await opened?.session.release()
      await opened?.fittedWeights.close()
      return null
  }
}

async function open(settings: ThreadModel): Promise<PolicySession> {
  if (opened === null) {
    const model = await openModel(settings.modelDirectory)
    const graph = buildEvaluationGraph(model, { locate: await locateWeights(model) })
    opened = { model, session: await createSession(graph, settings), fittedWeights: new FittedWeights(model, settings) }
  }
  return opened
}
