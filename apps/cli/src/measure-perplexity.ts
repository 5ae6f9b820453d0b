import type { Compensation, ImportanceMetric, PolicyFile, WeightPrecision } from '@espalier/contracts'
import { bitsPerByte, countWindowBytes, createEvaluator } from '@espalier/evaluator'
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
  readonly weights: WeightPrecision
  /** Whether next-token distributions are compared with the dense model's. */
  readonly compareWithDense: boolean
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
  /** Sum of nll / ln 2 / UTF-8 bytes of the text that the predicted tokens cover; null: measured on token ids. */
  readonly bitsPerByte: number | null
  /** KL(dense || policy) of next-token distributions, mean nats a predicted token; null: not asked for. */
  readonly klDivergence: number | null
  /** Share of predicted tokens whose most probable token is the dense model's; null: not asked for. */
  readonly top1Agreement: number | null
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
  // The model is loaded while the text is tokenised: one mostly reads files, the other computes.
  const opening = createEvaluator({
    modelDirectory: model.directory,
    weights: request.weights,
    ...(request.threads === null ? {} : { threads: request.threads }),
  })
  const wantedTokens = request.windows === null ? null : request.windows * windowLength
  const [opened, read] = await Promise.allSettled([opening, readTokens(request.tokens, model.directory, wantedTokens)])
  if (opened.status === 'rejected') throw opened.reason
  const evaluator = opened.value
  try {
    if (read.status === 'rejected') throw read.reason
    const { ids, byteEnds, text } = read.value
    const windows = chooseWindows(ids.length, windowLength, request.windows, 'the text')
    const onProgress = (done: number, all: number) => request.onProgress('calibrating', done, all)
    const calibration =
      policy === null ? null : await calibratePolicy({ ...request, onProgress }, policy, model, evaluator)
    const resolved = policy === null ? null : resolvePolicy(policy, createPrunableModel(model.shape), calibration)
    const { againstDense, ...measured } = await evaluator.measure({
      keptIndices: resolved?.keptIndices ?? null,
      calibration,
      compensation: policy?.compensation,
      metric: policy?.metric,
      ...{ ids, windowLength, windows },
      compareWithDense: request.compareWithDense,
      signal: request.signal,
      onProgress: (done) => request.onProgress('measuring', done, windows),
    })
    return {
      model: model.directory,
      ...measured,
      ...{ windows, windowLength },
      bitsPerByte: byteEnds && bitsPerByte(measured.nll, countWindowBytes(byteEnds, { windows, windowLength })),
      klDivergence: againstDense?.klDivergence ?? null,
      top1Agreement: againstDense?.top1Agreement ?? null,
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
