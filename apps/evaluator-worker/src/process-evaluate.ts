import { createRequire } from 'node:module'
import { type EvaluateResult, methodOf } from '@espalier/contracts'
import { countSharedModules } from '@espalier/evaluator'
import { selectKeptIndices } from '@espalier/pruning'
import type { EvaluationProtocol, Lease } from '@espalier/store'
import type { EvaluatorContext, StepContext } from './evaluator-context.js'
import { locateModel } from './locate-sources.js'
import { findPreparedModel } from './prepared-model.js'
import { tellModules, withActivity } from './tell-activity.js'

const { version: onnxruntime } = createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }

/** Really measures a policy. */
export async function processEvaluate(context: EvaluatorContext, lease: Lease<'evaluate'>, step: StepContext) {
  const { payload, settings } = lease
  const method = methodOf(lease)
  const directory = await locateModel(context, lease, step)
  const warm = await context.models.get(directory, await findPreparedModel(context.store, lease))
  const data = await context.searchData.read(lease, warm.prunable)
  const following = await context.store.steps.listFollowing(lease)
  const ids = await data.idsOf(payload.split)
  const measured = await withActivity(context, lease, step, (tell) =>
    warm.evaluator.measure({
      keptIndices: selectKeptIndices(data.rankingsBy(method.metric), payload.keptUnits),
      calibration: data.calibration,
      ...method,
      ids,
      windowLength: settings.windowLength,
      windows: payload.windows,
      // Policies under one method keep units by the same rankings: where counts agree, so do the units.
      sharedModules: following.map((keptUnits) => countSharedModules(payload.keptUnits, keptUnits)),
      // The dense pass is worth it for the few policies that are reported, not for each that is tried.
      compareWithDense: payload.purpose === 'test',
      signal: step.signal,
      onModule: tellModules(tell),
    }),
  )
  const protocol: EvaluationProtocol = {
    windowLength: settings.windowLength,
    windows: payload.windows,
    dataHash: data.prepared.splits[payload.split].textHash,
    modelHash: warm.hash,
    precision: warm.evaluator.precision,
    ...method,
    runtime: { onnxruntime, node: process.versions.node },
  }
  const result: EvaluateResult = measured
  return { result, effects: { protocol } }
}
