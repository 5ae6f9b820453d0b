import type { ModelShape } from '@espalier/contracts'
import { evaluationInputs, evaluationOutputs } from '@espalier/model-graph'
import type { Tensor } from 'onnxruntime-node'
import { checkWindows } from './check-request.js'
import { createStateFeeds } from './create-policy-feeds.js'
import type { Measurement } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { PolicyRequest, PolicySession } from './policy-session.js'
import { namePrefixes } from './prefix-states.js'
import { type CheckedPolicy, checkPolicy, preparePolicyFeeds } from './prepare-policy-feeds.js'
import {
  type CallControl,
  dataOf,
  defaultBatchWindows,
  findNotFinite,
  outputOf,
  runWindows,
  summarize,
} from './run-windows.js'

/** Measures a policy in a session of the evaluation graph. Errors: see `Evaluator.measure`. */
export async function measurePolicy(
  policySession: PolicySession,
  request: PolicyRequest,
  batchWindows: number | null,
  control: CallControl,
): Promise<Measurement> {
  const started = performance.now()
  checkWindows(request, policySession.model.shape)
  const policy = checkPolicy(request, policySession.model.shape)
  const { windowLength } = request
  const { batch, fittedWeights } = policySession
  const fittedBefore = fittedWeights.seconds
  const wanted = Math.min(request.windows, batchWindows ?? defaultBatchWindows(windowLength))
  const nll = await batch.run(windowLength, wanted, (size) =>
    measureWindows(policySession, request, policy, size, control),
  )
  const measured = summarize(nll, windowLength, (performance.now() - started) / 1000)
  return policy.isFitted ? { ...measured, fitSeconds: fittedWeights.seconds - fittedBefore } : measured
}

/** The negative log-likelihood of every window, `size` windows a run. */
async function measureWindows(
  policySession: PolicySession,
  request: PolicyRequest,
  policy: CheckedPolicy,
  size: number,
  control: CallControl,
): Promise<number[]> {
  const { model, session, prefixStates } = policySession
  const { windowLength, sharedModules = [] } = request
  const prefixes = namePrefixes({ ...request, batchWindows: size, compensation: policy.key }, policy.keptIndices)
  const resume = prefixStates?.find(prefixes) ?? { module: 0, batches: [] }
  const chosen = prefixStates?.choose(sharedModules, prefixes.length, stateBytesOf(request, model.shape)) ?? []
  const states = new Map(chosen.filter((module) => module > resume.module).map((module) => [module, [] as Tensor[]]))

  const feeds = await preparePolicyFeeds(policySession, policy, resume.module, control)
  const fetches = [evaluationOutputs.nll, ...Array.from(states.keys(), evaluationOutputs.state)]
  const nll: number[] = []
  await runWindows(request, size, control, async (batch, firstWindow) => {
    const state = resume.batches[firstWindow / size] ?? null
    const steps = { firstModule: resume.module, state, wanted: states.keys() }
    const stateFeeds = prefixStates === null ? {} : createStateFeeds(model.shape, batch, steps)
    const outputs = await session.run({ ...feeds, ...stateFeeds, [evaluationInputs.ids]: batch }, fetches)
    nll.push(...sumRows(dataOf(outputs, evaluationOutputs.nll, 'float32'), windowLength - 1))
    for (const [module, batches] of states) batches.push(outputOf(outputs, evaluationOutputs.state(module), 'float32'))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  prefixStates?.keep(prefixes, chosen, states)
  return nll
}

/** Bytes of the state before one module over all windows. */
function stateBytesOf({ windows, windowLength }: PolicyRequest, { hiddenSize }: ModelShape): number {
  return windows * windowLength * hiddenSize * Float32Array.BYTES_PER_ELEMENT
}

/** Sums rows of `width` in float64. */
function sumRows(values: Float32Array, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let sum = 0
    for (let column = 0; column < width; column++) sum += values[row * width + column] ?? 0
    return sum
  })
}
