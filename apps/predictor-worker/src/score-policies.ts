import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { toInt64 } from '@espalier/tensor-files'
import { type InferenceSession, Tensor } from 'onnxruntime-node'

export interface Score {
  readonly logPerplexity: number
  readonly low: number
  readonly high: number
}

/** In one run of the model. More policies would not be faster: what it computes on the way would leave the caches. */
const POLICIES_A_RUN = 1024

/**
 * Scores policies by a predictor's ONNX model.
 * @param policies N policies of M modules each; given as `kept` int64 [n, M]
 * @returns one score a policy, from `logPerplexity`, `low`, `high` float [n]
 * @throws EspalierError EVALUATION_NOT_FINITE
 */
export async function scorePolicies(session: InferenceSession, policies: readonly KeptUnits[]): Promise<Score[]> {
  const scores: Score[] = []
  for (let start = 0; start < policies.length; start += POLICIES_A_RUN)
    scores.push(...(await scoreInOneRun(session, policies.slice(start, start + POLICIES_A_RUN))))
  return scores
}

async function scoreInOneRun(session: InferenceSession, policies: readonly KeptUnits[]): Promise<Score[]> {
  const modules = policies[0]?.length ?? 0
  const counts = new Int32Array(policies.length * modules)
  for (const [index, policy] of policies.entries()) counts.set(policy, index * modules)
  const kept = new Tensor('int64', toInt64(counts), [policies.length, modules])
  const outputs = await session.run({ kept })
  const column = (name: keyof Score) => outputs[name]?.data as Float32Array
  const [means, lows, highs] = [column('logPerplexity'), column('low'), column('high')]
  return policies.map((_, index) =>
    finite({
      logPerplexity: means[index] ?? Number.NaN,
      low: lows[index] ?? Number.NaN,
      high: highs[index] ?? Number.NaN,
    }),
  )
}

function finite(score: Score): Score {
  const { logPerplexity, low, high } = score
  if (Number.isFinite(logPerplexity) && Number.isFinite(low) && Number.isFinite(high)) return score
  throw new EspalierError('EVALUATION_NOT_FINITE', `The predictor gave ${JSON.stringify(score)}; it must be finite`)
}
