import type { Compensation, ImportanceMetric, PolicyFile } from '@espalier/contracts'
import { createEvaluator } from '@espalier/evaluator'
import { openModel } from '@espalier/model-graph'
import { createPrunableModel } from '@espalier/pruning'
import { chooseWindows, readTokens, type SourceTokens, type TokenSource } from './input/read-tokens.js'
import { calibratePolicy, checkPolicy, resolvePolicy } from './prepare-policy.js'

export interface PerplexityRequest {
  readonly modelDirectory: string
  readonly tokens: TokenSource
  readonly windowLength: number
  /** null: all. */
  readonly windows: number | null
  /** null: the dense model. */
  readonly policy: PolicyFile | null
  readonly calibration: TokenSource | null
  /** null: the default of searches, or as many as the text has if fewer. */
  readonly calibrationWindows: number | null
  readonly threads: number | null
  readonly signal: AbortSignal
  readonly onProgress: (stage: 'calibrating' | 'measuring', windowsDone: number, windows: number) => void
}

/** What `espalier ppl --json` prints. */
export interface PerplexityReport {
  readonly model: string
  readonly perplexity: number
  readonly logPerplexity: number
  /** Sum of the windowLength - 1 next-token negative log-likelihoods (nats), a window. */
  readonly nll: readonly number[]
  readonly windows: number
  readonly windowLength: number
  /** Predicted tokens: windows * (windowLength - 1). */
  readonly tokens: number
  readonly sparsity: number
  /** null: dense. */
  readonly metric: ImportanceMetric | null
  readonly compensation: Compensation
  readonly calibrationWindows: number | null
  /** null: measured on token ids. */
  readonly text: SourceTokens['text']
  readonly seconds: number
}

/**
 * Perplexity of a model, or of a policy of it, without any server.
 * @throws EspalierError whatever is wrong with the model, the texts or the policy; POLICY_UNCALIBRATED when the policy
 *   needs a calibration text and there is none
 */
export async function measurePerplexity(request: PerplexityRequest): Promise<PerplexityReport> {
  const { windowLength, policy } = request
  const model = await openModel(request.modelDirectory)
  if (policy !== null) await checkPolicy(policy, model, request.calibration !== null)
  const { ids, text } = await readTokens(request.tokens, model.directory)
  const windows = chooseWindows(ids.length, windowLength, request.windows, 'the text')
  const evaluator = await createEvaluator({
    modelDirectory: model.directory,
    ...(request.threads === null ? {} : { threads: request.threads }),
  })
  try {
    const onProgress = (done: number, all: number) => request.onProgress('calibrating', done, all)
    const calibration =
      policy === null ? null : await calibratePolicy({ ...request, onProgress }, policy, model, evaluator)
    const resolved = policy === null ? null : resolvePolicy(policy, createPrunableModel(model.shape), calibration)
    const measured = await evaluator.measure({
      keptIndices: resolved?.keptIndices ?? null,
      calibration,
      compensation: policy?.compensation,
      metric: policy?.metric,
      ...{ ids, windowLength, windows },
      signal: request.signal,
      onProgress: (done) => request.onProgress('measuring', done, windows),
    })
    return {
      model: model.directory,
      ...measured,
      ...{ windows, windowLength },
      sparsity: resolved?.sparsity ?? 0,
      metric: policy?.metric ?? null,
      compensation: policy?.compensation ?? 'none',
      calibrationWindows: calibration?.windows ?? null,
      text,
    }
  } finally {
    await evaluator.close()
  }
}
