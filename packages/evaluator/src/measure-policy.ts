import { evaluationInputs } from '@espalier/model-graph'
import { checkWindows } from './check-request.js'
import type { Measurement } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { PolicyRequest, PolicySession } from './policy-session.js'
import { preparePolicyFeeds } from './prepare-policy-feeds.js'
import { type CallControl, dataOf, defaultBatchWindows, findNotFinite, runWindows, summarize } from './run-windows.js'

/** Measures a policy in a session of the evaluation graph. Errors: see `Evaluator.measure`. */
export async function measurePolicy(
  policy: PolicySession,
  request: PolicyRequest,
  batchWindows: number | null,
  control: CallControl,
): Promise<Measurement> {
  const started = performance.now()
  const { model, session } = policy
  const { windowLength } = request
  checkWindows(request, model.shape)
  const feeds = await preparePolicyFeeds(policy, request, control)
  const nll: number[] = []
  await runWindows(request, batchWindows ?? defaultBatchWindows(windowLength), control, async (batch) => {
    const outputs = await session.run({ ...feeds, [evaluationInputs.ids]: batch })
    nll.push(...sumRows(dataOf(outputs, 'nll', 'float32'), windowLength - 1))
  })
  const bad = findNotFinite(nll)
  if (bad !== null) throw await explainNotFinite(model, `The negative log-likelihood of window ${bad} is ${nll[bad]}`)
  return summarize(nll, windowLength, (performance.now() - started) / 1000)
}

/** Sums rows of `width` in float64. */
function sumRows(values: Float32Array, width: number): number[] {
  return Array.from({ length: values.length / width }, (_, row) => {
    let sum = 0
    for (let column = 0; column < width; column++) sum += values[row * width + column] ?? 0
    return sum
  })
}
