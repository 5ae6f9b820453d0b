import type { ModelShape, Precision } from '@espalier/contracts'
import { evaluationOutputs, type HuggingFaceModel } from '@espalier/model-graph'
import type { InferenceSession, Tensor } from 'onnxruntime-node'
import { checkCalibration, checkGram, checkKeptIndices, checkWindows } from './check-request.js'
import { allIndices, createPolicyFeeds, createStepFeeds } from './create-policy-feeds.js'
import type { CalibrationRecord, Measurement, MeasureRequest, RunOptions } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { FittingBatch } from './fit-batch.js'
import type { FitRequest, FittedWeights } from './fitted-weights.js'
import { namePrefixes, type PrefixStates } from './prefix-states.js'
import {
  Aborted,
  type CallControl,
  dataOf,
  defaultBatchWindows,
  findNotFinite,
  outputOf,
  runWindows,
  summarize,
} from './run-windows.js'

/** What a policy is measured with. */
export interface PolicySession {
  readonly model: HuggingFaceModel
  /** Of the evaluation graph. */
  readonly session: InferenceSession
  readonly precision: Precision
  readonly batch: FittingBatch
  readonly fittedWeights: FittedWeights
  readonly prefixStates: PrefixStates
}

/** Stands for the calibration of a request wherever fitted weights or states are kept. */
export interface PolicyRequest extends Omit<MeasureRequest, keyof RunOptions> {
  readonly calibrationKey: string
}

/** Measures a policy in a session of the evaluation graph. Errors: see `Evaluator.measure`. */
export async function measurePolicy(
  policySession: PolicySession,
  request: PolicyRequest,
  batchWindows: number | null,
  control: CallControl,
): Promise<Measurement> {
  const started = performance.now()
  const { windowLength } = request
  checkWindows(request, policySession.model.shape)
  const wanted = Math.min(request.windows, batchWindows ?? defaultBatchWindows(windowLength))
  const nll = await policySession.batch.run(windowLength, wanted, (size) =>
    measureWindows(policySession, request, size, control),
  )
  return summarize(nll, windowLength, (performance.now() - started) / 1000)
}

/** The negative log-likelihood of every window, `size` windows a run. */
async function measureWindows(
  policySession: PolicySession,
  request: PolicyRequest,
  size: number,
  control: CallControl,
): Promise<number[]> {
  const { model, session, prefixStates } = policySession
  const { windowLength, sharedModules = [] } = request
  const policy = checkPolicy(request, model.shape)
  const prefixes = namePrefixes({ ...request, batchWindows: size, compensation: policy.key }, policy.keptIndices)
  const resume = prefixStates.find(prefixes)
  const chosen = prefixStates.choose(sharedModules, prefixes.length, stateBytesOf(request, model.shape))
  const states = new Map(chosen.filter((module) => module > resume.module).map((module) => [module, [] as Tensor[]]))

  const feeds = await createFeeds(policySession, policy, resume.module, control)
  const fetches = [evaluationOutputs.nll, ...Array.from(states.keys(), evaluationOutputs.state)]
  const nll: number[] = []
  await runWindows(request, size, control, async (batch, firstWindow) => {
    const state = resume.batches[firstWindow / size] ?? null
    const steps = createStepFeeds(model.shape, batch, { firstModule: resume.module, state, wanted: states.keys() })
    const outputs = await session.run({ ...feeds, ...steps }, fetches)
    nll.push(...sumRows(dataOf(outputs, evaluationOutputs.nll, 'float32'), windowLength - 1))
    for (const [module, batches] of states) batches.push(outputOf(outputs, evaluationOutputs.state(module), 'float32'))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  prefixStates.keep(prefixes, chosen, states)
  return nll
}

/** A policy that can be measured. */
interface CheckedPolicy extends Omit<FitRequest, 'firstModule' | 'calibration'> {
  /** What compensation is computed from; null: no compensation. */
  readonly calibration: CalibrationRecord | null
  /** Whether output weights are fitted. */
  readonly isFitted: boolean
  /** Stands for all of it but the kept units. */
  readonly key: string
}

function checkPolicy(request: PolicyRequest, shape: ModelShape): CheckedPolicy {
  const { compensation = 'mean', calibrationKey, metric = null } = request
  const calibration = compensation === 'none' ? null : request.calibration
  if (request.keptIndices) checkKeptIndices(request.keptIndices, shape)
  if (calibration) checkCalibration(calibration, shape)
  const isFitted = request.keptIndices !== null && calibration !== null && compensation === 'least-squares'
  if (isFitted) checkGram(calibration)
  const key = calibration === null ? 'none' : [calibrationKey, isFitted, isFitted && metric].join(' ')
  const keptIndices = request.keptIndices ?? allIndices(shape)
  return { keptIndices, calibration, calibrationKey, metric, isFitted, key }
}

async function createFeeds(
  { model, fittedWeights }: PolicySession,
  { calibration, isFitted, ...policy }: CheckedPolicy,
  firstModule: number,
  control: CallControl,
): Promise<Record<string, Tensor>> {
  const checkAborted = () => {
    if (control.isAborted()) throw new Aborted()
  }
  const fitted =
    isFitted && calibration !== null
      ? await fittedWeights.fit({ ...policy, calibration, firstModule }, checkAborted)
      : new Map<number, Float32Array>()
  return createPolicyFeeds(model.shape, policy.keptIndices, calibration, fitted)
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
