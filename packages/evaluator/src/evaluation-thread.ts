/** Entry of the worker thread: the only place where ONNX Runtime runs, because its calls block their thread. */
import { parentPort } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import { buildEvaluationGraph, openModel } from '@espalier/model-graph'
import { calibrateModel } from './calibrate-model.js'
import { choosePrecision } from './choose-precision.js'
import { createSession, locateWeights, probeCuda } from './create-session.js'
import { DenseReference } from './dense-reference.js'
import { FittingBatch, outOfMemory } from './fit-batch.js'
import { FittedWeights } from './fitted-weights.js'
import { measureContinuations } from './measure-continuations.js'
import { measureLogits } from './measure-logits.js'
import { measurePolicy } from './measure-policy.js'
import { findOutOfMemory } from './out-of-memory.js'
import type { PolicySession } from './policy-session.js'
import { PrefixStates } from './prefix-states.js'
import { runLatencies } from './run-latencies.js'
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
    reportModule: (work) => reply({ kind: 'module', work }),
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
      return (await open(call.payload.model)).precision
    case 'measure': {
      const session = await open(call.payload.model)
      return measurePolicy(session, call.payload.request, call.payload.model.batchWindows, control)
    }
    case 'measureContinuations':
      return measureContinuations(await open(call.payload.model), call.payload.request, control)
    case 'calibrate': {
      const { model, batch } = await open(call.payload.model)
      return calibrateModel(
        model,
        batch,
        call.payload.model,
        call.payload.tokens,
        call.payload.model.batchWindows,
        control,
      )
    }
    case 'measureLogits':
      return measureLogits(call.payload.path, call.payload.tokens, call.payload.threads, control)
    case 'measureProductPeak':
      return runProducts(call.payload.threads)
    case 'probeCuda':
      await probeCuda(call.payload.deviceId)
      return null
    case 'measureLatencies':
      return runLatencies(call.payload)
    case 'close':
      await opened?.session.release()
      await opened?.fittedWeights.close()
      return null
  }
}

/** What a session that does not even load is measured by. */
const shortestWindow = 2

/** Tensor cores multiply tiles whose sides divide this, and rows of so many numbers are aligned in memory. */
const cudaChannelMultiple = 64

async function open(settings: ThreadModel): Promise<PolicySession> {
  if (opened === null) {
    const model = await openModel(settings.modelDirectory)
    const precision = choosePrecision(settings.precision, settings.provider, model)
    // A state lies in this process's memory; a GPU computes again what would have to be moved there and back. A state
    // in half precision is rounded, while the norm after it was computed from the sum that was not.
    const resumable = settings.provider === 'cpu' && precision === 'fp32'
    const { weights } = settings
    const device = { provider: settings.provider, computeBytes: precision === 'fp32' ? 4 : 2, weights } as const
    const memory = { shape: model.shape, device, limitBytes: settings.memoryBytes }
    const fillChannelsTo = settings.provider === 'cuda' ? cudaChannelMultiple : 1
    const locate = await locateWeights(model)
    const graph = buildEvaluationGraph(model, { locate, precision, resumable, weights, fillChannelsTo })
    // The graph is written with ONNX Runtime's fused operators: on a CPU, fusing more takes a second and gains nothing.
    const optimization = resumable ? 'basic' : 'all'
    const session = await createSession(graph, { ...settings, optimization }).catch((error: unknown) => {
      const found = findOutOfMemory(error)
      throw found === null ? error : outOfMemory(memory, shortestWindow, found, error)
    })
    opened = {
      ...{ model, precision, session, batch: new FittingBatch(memory) },
      dense: new DenseReference(model, session, resumable),
      fittedWeights: new FittedWeights(model, settings),
      prefixStates: resumable ? new PrefixStates() : null,
    }
  }
  return opened
}
