import type { ModelShape } from '@espalier/contracts'
import type { Tensor } from 'onnxruntime-node'
import { checkCalibration, checkGram, checkKeptIndices } from './check-request.js'
import { allIndices, createPolicyFeeds } from './create-policy-feeds.js'
import type { CalibrationRecord } from './evaluator.js'
import type { FitRequest } from './fitted-weights.js'
import type { PolicyRequest, PolicySession } from './policy-session.js'
import type { CallControl } from './run-windows.js'

/** A policy that can be measured. */
export interface CheckedPolicy extends Omit<FitRequest, 'firstModule' | 'calibration'> {
  /** What compensation is computed from; null: no compensation. */
  readonly calibration: CalibrationRecord | null
  /** Whether output weights are fitted. */
  readonly isFitted: boolean
  /** Stands for all of it but the kept units. */
  readonly key: string
}

/** The policy of a request. Errors: see `Evaluator.measure`. */
export function checkPolicy(
  request: Pick<PolicyRequest, 'keptIndices' | 'calibration' | 'compensation' | 'metric' | 'calibrationKey'>,
  shape: ModelShape,
): CheckedPolicy {
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

/** All inputs of the evaluation graph that say which policy it measures, from its module `firstModule` on. */
export async function preparePolicyFeeds(
  { model, fittedWeights }: PolicySession,
  { calibration, isFitted, ...policy }: CheckedPolicy,
  firstModule: number,
  control: CallControl,
): Promise<Record<string, Tensor>> {
  const fitted =
    isFitted && calibration !== null
      ? await fittedWeights.fit({ ...policy, calibration, firstModule }, control)
      : new Map<number, Float32Array>()
  return createPolicyFeeds(model.shape, policy.keptIndices, calibration, fitted)
}
