import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { toInt64 } from '@espalier/tensor-files'
import { InferenceSession, Tensor } from 'onnxruntime-node'

export interface Score {
  readonly logPerplexity: number
  readonly low: number
  readonly high: number
}

/**
 * Scores policies by a predictor's ONNX model: one call for all of them.
 * @param policies N policies of M modules each; given as `kept` int64 [N, M]
 * @returns one score a policy, from `logPerplexity`, `low`, `high` float [N]
 * @throws EspalierError EVALUATION_NOT_FINITE
 */
export async function scorePolicies(onnx: Uint8Array, policies: readonly KeptUnits[]): Promise<Score[]> {
  const modules = policies[0]?.length
  if (modules === undefined) return []
  const session = await InferenceSession.create(onnx, { intraOpNumThreads: 1, interOpNumThreads: 1 })
  try {
    const kept = new Tensor('int64', toInt64(policies.flat()), [policies.length, modules])
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
  } finally {
    await session.release()
  }
}

function finite(score: Score): Score {
  if (Object.values(score).every(Number.isFinite)) return score
  throw new EspalierError('EVALUATION_NOT_FINITE', `The predictor gave ${JSON.stringify(score)}; it must be finite`)
}
