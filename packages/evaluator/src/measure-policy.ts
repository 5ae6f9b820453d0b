import type { ModelShape } from '@espalier/contracts'
import { evaluationInputs, evaluationOutputs } from '@espalier/model-graph'
import type { Tensor } from 'onnxruntime-node'
import { checkWindows } from './check-request.js'
import { createStateFeeds } from './create-policy-feeds.js'
import type { DenseComparison, Measurement } from './evaluator.js'
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
  const { nll, againstDense } = await batch.run(windowLength, wanted, (size) =>
    measureWindows(policySession, request, policy, size, control),
  )
  const measured = summarize(nll, windowLength, (performance.now() - started) / 1000, againstDense)
  return policy.isFitted ? { ...measured, fitSeconds: fittedWeights.seconds - fittedBefore } : measured
}

interface MeasuredWindows {
  /** Negative log-likelihood of every window. */
  readonly nll: number[]
  /** null: not asked for. */
  readonly againstDense: DenseComparison | null
}

/** `size` windows a run, of the dense model too. */
async function measureWindows(
  policySession: PolicySession,
  request: PolicyRequest,
  policy: CheckedPolicy,
  size: number,
  control: CallControl,
): Promise<MeasuredWindows> {
  const { model, session, dense, prefixStates } = policySession
  const { windowLength, sharedModules = [] } = request
  const prefixes = namePrefixes({ ...request, batchWindows: size, compensation: policy.key }, policy.keptIndices)
  const resume = prefixStates?.find(prefixes) ?? { module: 0, batches: [] }
  const chosen = prefixStates?.choose(sharedModules, prefixes.length, stateBytesOf(request, model.shape)) ?? []
  const states = new Map(chosen.filter((module) => module > resume.module).map((module) => [module, [] as Tensor[]]))

  const feeds = await preparePolicyFeeds(policySession, policy, resume.module, control)
  const { nll: likelihoods, kl, agrees } = evaluationOutputs
  const isCompared = request.keptIndices !== null && request.compareWithDense === true
  const compared = isCompared ? { kl: [] as number[], agrees: [] as number[] } : null
  const wanted = isCompared ? [likelihoods, kl, agrees] : [likelihoods]
  const fetches = [...wanted, ...Array.from(states.keys(), evaluationOutputs.state)]
  const nll: number[] = []
  await runWindows(request, size, control, async (batch, firstWindow) => {
    const state = resume.batches[firstWindow / size] ?? null
    const steps = { firstModule: resume.module, state, wanted: states.keys() }
    const stateFeeds = prefixStates === null ? {} : createStateFeeds(model.shape, batch, steps)
    const reference = compared && { [evaluationInputs.referenceHidden]: await dense.hiddenOf(batch) }
    const inputs = { ...feeds, ...stateFeeds, ...reference, [evaluationInputs.ids]: batch }
    const outputs = await session.run(inputs, fetches)
    const sumsOf = (name: string) => sumRows(dataOf(outputs, name, 'float32'), windowLength - 1)
    nll.push(...sumsOf(likelihoods))
    compared?.kl.push(...sumsOf(kl))
    compared?.agrees.push(...sumsOf(agrees))
    for (const [module, batches] of states) batches.push(outputOf(outputs, evaluationOutputs.state(module), 'float32'))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  prefixStates?.keep(prefixes, chosen, states)
  return { nll, againstDense: compared === null ? compareDense(request) : summarizeComparison(compared, windowLength) }
}

/** The dense model is no other than itself. */
function compareDense({ compareWithDense }: PolicyRequest): DenseComparison | null {
  return compareWithDense ? { klDivergence: 0, top1Agreement: 1 } : null
}

/** From sums a window. */
function summarizeComparison(sums: { kl: number[]; agrees: number[] }, windowLength: number): DenseComparison {
  const mean = (values: number[]) =>
    values.reduce((sum, value) => sum + value, 0) / (values.length * (windowLength - 1))
  return { klDivergence: mean(sums.kl), top1Agreement: mean(sums.agrees) }
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
