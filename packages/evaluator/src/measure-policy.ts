import { evaluationInputs, type HuggingFaceModel } from '@espalier/model-graph'
import type { InferenceSession } from 'onnxruntime-node'
import { checkCalibration, checkGram, checkKeptIndices, checkWindows } from './check-request.js'
import { createPolicyFeeds } from './create-policy-feeds.js'
import type { Measurement, MeasureRequest, RunOptions } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { FittedWeights } from './fitted-weights.js'
import {
  Aborted,
  type CallControl,
  dataOf,
  defaultBatchWindows,
  findNotFinite,
  runWindows,
  summarize,
} from './run-windows.js'

/** What a policy is measured with. */
export interface PolicySession {
  readonly model: HuggingFaceModel
  /** Of the evaluation graph. */
  readonly session: InferenceSession
  readonly fittedWeights: FittedWeights
}

/** Stands for the calibration of a request wherever fitted weights are kept. */
export interface PolicyRequest extends Omit<MeasureRequest, keyof RunOptions> {
  readonly calibrationKey: string
}

/** Measures a policy in a session of the evaluation graph. Errors: see `Evaluator.measure`. */
export async function measurePolicy(
  { model, session, fittedWeights }: PolicySession,
  request: PolicyRequest,
  batchWindows: number | null,
  control: CallControl,
): Promise<Measurement> {
  const started = performance.now()
  const { windowLength, keptIndices, calibrationKey } = request
  const calibration = request.compensation === 'none' ? null : request.calibration
  checkWindows(request, model.shape)
  if (keptIndices) checkKeptIndices(keptIndices, model.shape)
  if (calibration) checkCalibration(calibration, model.shape)
  const checkAborted = () => {
    if (control.isAborted()) throw new Aborted()
  }
  let fitted: ReadonlyMap<number, Float32Array> = new Map()
  let fitSeconds: number | null = null
  if (keptIndices && calibration && request.compensation === 'least-squares') {
    checkGram(calibration)
    const metric = request.metric ?? null
    fitted = await fittedWeights.fit({ calibration, calibrationKey, keptIndices, metric }, checkAborted)
    fitSeconds = (performance.now() - started) / 1000
  }
  const feeds = createPolicyFeeds(model.shape, keptIndices, calibration, fitted)
  const nll: number[] = []
  await runWindows(request, batchWindows ?? defaultBatchWindows(windowLength), control, async (batch) => {
    const outputs = await session.run({ ...feeds, [evaluationInputs.ids]: batch })
    nll.push(...sumRows(dataOf(outputs, 'nll', 'float32'), windowLength - 1))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  const measured = summarize(nll, windowLength, (performance.now() - started) / 1000)
  return fitSeconds === null ? measured : { ...measured, fitSeconds }
}

/** Sums rows of `width` in float64. */
function sumRows(values: Float32Array, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let sum = 0
    for (let column = 0; column < width; column++) sum += values[row * width + column] ?? 0
    return sum
  })
}
