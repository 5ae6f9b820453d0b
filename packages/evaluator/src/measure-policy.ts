import { evaluationInputs, evaluationOutputs, type HuggingFaceModel } from '@espalier/model-graph'
import type { InferenceSession } from 'onnxruntime-node'
import { checkCalibration, checkGram, checkKeptIndices, checkWindows } from './check-request.js'
import { createPolicyFeeds } from './create-policy-feeds.js'
import type { DenseReference } from './dense-reference.js'
import type { DenseComparison, Measurement, MeasureRequest, RunOptions } from './evaluator.js'
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
  readonly dense: DenseReference
}

/** Stands for the calibration of a request wherever fitted weights are kept. */
export interface PolicyRequest extends Omit<MeasureRequest, keyof RunOptions> {
  readonly calibrationKey: string
}

/** Measures a policy in a session of the evaluation graph. Errors: see `Evaluator.measure`. */
export async function measurePolicy(
  { model, session, fittedWeights, dense }: PolicySession,
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
  if (keptIndices && calibration && request.compensation === 'least-squares') {
    checkGram(calibration)
    const metric = request.metric ?? null
    fitted = await fittedWeights.fit({ calibration, calibrationKey, keptIndices, metric }, checkAborted)
  }
  const feeds = createPolicyFeeds(model.shape, keptIndices, calibration, fitted)
  const nll: number[] = []
  const compared =
    keptIndices !== null && request.compareWithDense ? { kl: [] as number[], agrees: [] as number[] } : null
  const fetches = compared === null ? [evaluationOutputs.nll] : comparedOutputs
  await runWindows(request, batchWindows ?? defaultBatchWindows(windowLength), control, async (batch) => {
    const reference = compared && { [evaluationInputs.referenceHidden]: await dense.hiddenOf(batch) }
    const outputs = await session.run({ ...feeds, ...reference, [evaluationInputs.ids]: batch }, fetches)
    const sumsOf = (name: string) => sumRows(dataOf(outputs, name, 'float32'), windowLength - 1)
    nll.push(...sumsOf(evaluationOutputs.nll))
    compared?.kl.push(...sumsOf(evaluationOutputs.kl))
    compared?.agrees.push(...sumsOf(evaluationOutputs.agrees))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  const againstDense = compared === null ? compareDense(request) : summarizeComparison(compared, windowLength)
  return summarize(nll, windowLength, (performance.now() - started) / 1000, againstDense)
}

const comparedOutputs = [evaluationOutputs.nll, evaluationOutputs.kl, evaluationOutputs.agrees]

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

/** Sums rows of `width` in float64. */
function sumRows(values: Float32Array, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let sum = 0
    for (let column = 0; column < width; column++) sum += values[row * width + column] ?? 0
    return sum
  })
}
