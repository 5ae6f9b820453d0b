import { EspalierError, type PolicyFile, recordingOf, searchDefaults } from '@espalier/contracts'
import type { CalibrationRecord, Evaluator } from '@espalier/evaluator'
import { type HuggingFaceModel, hashModel } from '@espalier/model-graph'
import {
  createPrunableModel,
  needsRanking,
  type PrunableModel,
  type ResolvedPolicy,
  rankModules,
  resolvePolicyFile,
} from '@espalier/pruning'
import { chooseWindows, readTokens, type TokenSource } from './input/read-tokens.js'

/**
 * Everything about a policy that can be told before the model is loaded.
 * @throws EspalierError POLICY_*; POLICY_UNCALIBRATED when it needs a calibration text and there is none
 */
export async function checkPolicy(policy: PolicyFile, model: HuggingFaceModel, calibrated: boolean): Promise<void> {
  const prunable = createPrunableModel(model.shape)
  const hash = policy.modelHash === undefined ? undefined : await hashModel(model)
  // A ranking by index stands in for the one that calibration will give: it shows every other error.
  const anyOrder = prunable.modules.map(({ units }) => ({
    order: Int32Array.from({ length: units }, (_, unit) => unit),
    removedShare: new Float64Array(units + 1),
  }))
  resolvePolicyFile(policy, prunable, anyOrder, hash)
  if (calibrated) return
  const reason = needsRanking(policy, prunable)
    ? `it keeps counts of units, which the metric "${policy.metric}" ranks`
    : `its compensation is "${policy.compensation}"`
  if (!needsRanking(policy, prunable) && policy.compensation === 'none') return
  throw new EspalierError(
    'POLICY_UNCALIBRATED',
    `The policy needs a calibration text, as ${reason}: give --calibration-text FILE or --calibration-ids FILE`,
    { metric: policy.metric, compensation: policy.compensation },
  )
}

/** What a policy is calibrated with. */
export interface CalibrationRequest {
  /** null: nothing is calibrated. */
  readonly calibration: TokenSource | null
  /** null: the default of searches, or as many as the text has if fewer. */
  readonly calibrationWindows: number | null
  readonly windowLength: number
  readonly signal: AbortSignal
  readonly onProgress: (windowsDone: number, windows: number) => void
}

/** The calibration that a policy needs; null: it needs none. */
export async function calibratePolicy(
  request: CalibrationRequest,
  policy: PolicyFile,
  model: HuggingFaceModel,
  evaluator: Evaluator,
): Promise<CalibrationRecord | null> {
  const isNeeded = needsRanking(policy, createPrunableModel(model.shape)) || policy.compensation !== 'none'
  if (request.calibration === null || !isNeeded) return null
  const { windowLength } = request
  const most = request.calibrationWindows ?? searchDefaults.calibrationWindows
  const { ids } = await readTokens(request.calibration, model.directory, most * windowLength)
  const available = Math.max(1, Math.floor(ids.length / windowLength))
  const wanted = request.calibrationWindows ?? Math.min(searchDefaults.calibrationWindows, available)
  const windows = chooseWindows(ids.length, windowLength, wanted, 'the calibration text')
  return evaluator.calibrate({
    ...{ ids, windowLength, windows },
    ...recordingOf(policy),
    signal: request.signal,
    onProgress: (done) => request.onProgress(done, windows),
  })
}

/** The units that a policy keeps. */
export function resolvePolicy(
  policy: PolicyFile,
  model: PrunableModel,
  calibration: CalibrationRecord | null,
): ResolvedPolicy {
  const rankings = calibration === null ? null : rankModules(policy.metric, calibration.modules, model)
  return resolvePolicyFile(policy, model, rankings)
}
