import { evaluationInputs, evaluationOutputs } from '@espalier/model-graph'
import { checkTokens } from './check-request.js'
import { createInt64Tensor } from './create-int64-tensor.js'
import { createStateFeeds } from './create-policy-feeds.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { RowBatch } from './plan-rows.js'
import type { PolicyRequest, PolicySession } from './policy-session.js'
import { checkPolicy, preparePolicyFeeds } from './prepare-policy-feeds.js'
import { type CallControl, checkAborted, dataOf, findNotFinite } from './run-windows.js'

/** A request of `Evaluator.measureContinuations`, planned. */
export interface PlannedContinuations
  extends Pick<PolicyRequest, 'keptIndices' | 'calibration' | 'compensation' | 'metric' | 'calibrationKey'> {
  readonly sequences: number
  readonly batches: readonly RowBatch[]
}

/** Log-likelihood of every sequence's scored tokens, in nats. Errors: see `Evaluator.measureContinuations`. */
export async function measureContinuations(
  policy: PolicySession,
  request: PlannedContinuations,
  control: CallControl,
): Promise<Float64Array> {
  const { model, session, prefixStates } = policy
  // The last token of a row is only predicted, so that it needs no position of its own.
  for (const { ids, length } of request.batches) checkTokens(ids, length, model.shape.maxPositions + 1, model.shape)
  const feeds = await preparePolicyFeeds(policy, checkPolicy(request, model.shape), 0, control)
  const logLikelihoods = new Float64Array(request.sequences)
  let tokensDone = 0
  for (const { ids, rows, length, spans, tokens } of request.batches) {
    checkAborted(control)
    const batch = createInt64Tensor(ids, [rows, length])
    const all = { firstModule: 0, state: null, wanted: [] }
    const stateFeeds = prefixStates === null ? {} : createStateFeeds(model.shape, batch, all)
    const inputs = { ...feeds, ...stateFeeds, [evaluationInputs.ids]: batch }
    const nll = dataOf(await session.run(inputs, [evaluationOutputs.nll]), evaluationOutputs.nll, 'float32')
    for (const { sequence, row, from, to } of spans) {
      const start = row * (length - 1)
      logLikelihoods[sequence] = -sum(nll.subarray(start + from, start + to))
    }
    tokensDone += tokens
    control.report(tokensDone)
  }
  const bad = findNotFinite(logLikelihoods)
  if (bad !== null) {
    throw await explainNotFinite(model, `The log-likelihood of continuation ${bad} is ${logLikelihoods[bad]}`)
  }
  return logLikelihoods
}

/** In float64. */
function sum(values: Float32Array): number {
  let total = 0
  for (const value of values) total += value
  return total
}
