import type { Tensor } from 'onnxruntime-node'
import { checkCalibration, checkGram, checkKeptIndices } from './check-request.js'
import { createPolicyFeeds } from './create-policy-feeds.js'
import type { PolicyRequest, PolicySession } from './policy-session.js'
import { Aborted, type CallControl } from './run-windows.js'

/** Checks the policy of a request and makes all inputs of the evaluation graph but the ids. Errors: see `Evaluator.measure`. */
export async function preparePolicyFeeds(
  { model, fittedWeights }: PolicySession,
  request: Pick<PolicyRequest, 'keptIndices' | 'calibration' | 'compensation' | 'metric' | 'calibrationKey'>,
  control: CallControl,
): Promise<Record<string, Tensor>> {
  const { keptIndices, calibrationKey } = request
  const calibration = request.compensation === 'none' ? null : request.calibration
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
  return createPolicyFeeds(model.shape, keptIndices, calibration, fitted)
}
