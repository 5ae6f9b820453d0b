import type { Compensation, ExecutionProvider, ImportanceMetric, Precision, WeightPrecision } from '@espalier/contracts'
import type { KeptIndices, ModuleStatistics } from '@espalier/pruning'
import type { Float64Source } from '@espalier/tensor-files'

/** Statistics of one module over the calibration tokens, and its mean output without bias. */
export interface ModuleCalibration extends ModuleStatistics {
  /** [hidden], W times the mean input, float64. */
  readonly outputMean: Float64Array
  /**
   * sum x_i x_j for j <= i, packed rows of the lower triangle, in memory that threads share or, where that would be too
   * much, in a file; null: not recorded. Least-squares compensation needs it.
   */
  readonly gram: Float64Source | null
}

/** One calibration pass: everything that importance metrics and compensation need, whatever the policy. */
export interface CalibrationRecord {
  /** Module order: attention 0, feed-forward 0, attention 1, ...; length 2 x layers. */
  readonly modules: readonly ModuleCalibration[]
  readonly windows: number
  readonly windowLength: number
  /** File in which Gram matrices lie until they are written elsewhere; it goes when the evaluator is closed. */
  readonly scratchFile?: string
}

/** A text as tokens, cut into non-overlapping windows from its start. */
export interface WindowedTokens {
  readonly ids: Int32Array
  /** Tokens a window, T. */
  readonly windowLength: number
  readonly windows: number
}

export interface RunOptions {
  /** Looked at between batches; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
  /** Called with the windows done so far, after every batch. */
  readonly onProgress?: ((windowsDone: number) => void) | undefined
  /** Called before each module of work that is not done window by window. */
  readonly onModule?: ((work: ModuleWork) => void) | undefined
}

/** Work on one module after the other: eliminating units for the metric obs, or fitting the weights of least squares. */
export interface ModuleWork {
  readonly task: 'eliminate' | 'fit'
  /** Modules done, and all of them. */
  readonly done: number
  readonly modules: number
}

export interface MeasureRequest extends WindowedTokens, RunOptions {
  /** Units kept by each module; null: the dense model. */
  readonly keptIndices: KeptIndices | null
  /** What compensation is computed from; null: no compensation. */
  readonly calibration: CalibrationRecord | null
  /** Default: `mean`. `least-squares` needs a calibration with Gram matrices. */
  readonly compensation?: Compensation | undefined
  /** How the kept units were chosen, if they are the most important ones: then least squares is solved faster. */
  readonly metric?: ImportanceMetric | undefined
  /** Whether next-token distributions are compared with the dense model's; it is run too, once a text. Default: no. */
  readonly compareWithDense?: boolean | undefined
  /**
   * For every policy that will be measured on the same windows after this one, how many first modules it has in common
   * with this one (`countSharedModules`). What they share is kept until then and not computed again; the numbers are
   * the same to the bit. Only what the call before this one kept is used, so policies with the longest common prefixes
   * should follow each other. Without effect on a GPU, where moving the state costs more, and in half precision, where it is rounded.
   */
  readonly sharedModules?: readonly number[] | undefined
}

/** Several policies on the same windows. */
export interface MeasureManyRequest extends Omit<MeasureRequest, 'keptIndices' | 'sharedModules'> {
  readonly policies: readonly KeptIndices[]
}

/** Tokens of which the last ones are scored, given all before them. */
export interface ScoredSequence {
  readonly ids: Int32Array
  /** From 1 to one less than there are. */
  readonly scoredTokens: number
}

/** Sequences of any lengths, up to one token more than the model has positions: the last one is only predicted. */
export interface ContinuationsRequest
  extends Omit<MeasureRequest, keyof WindowedTokens | 'onProgress'>,
    Pick<RunOptions, 'signal'> {
  readonly sequences: readonly ScoredSequence[]
  /** Called after every batch. */
  readonly onProgress?: ((tokensDone: number, tokens: number) => void) | undefined
}

export interface ContinuationsMeasurement {
  /** Of each sequence's scored tokens, in nats. */
  readonly logLikelihoods: readonly number[]
  /** Tokens that were computed, without padding; shared starts count once. */
  readonly tokens: number
  readonly seconds: number
}

export interface CalibrateRequest extends WindowedTokens, RunOptions {
  /** Whether Gram matrices are recorded too, for least-squares compensation; `gramBytesOf` says what they take. */
  readonly gram?: boolean | undefined
  /**
   * Whether the errors of eliminating units are computed too, for metric `obs`; it needs Gram matrices, and modules of at
   * most `mostEliminationInputs` inputs.
   */
  readonly elimination?: boolean | undefined
}

/** Perplexity = exp(sum of nll / tokens), the protocol of SparseGPT, Wanda and FLAP. */
export interface Measurement {
  /** Sum of the T - 1 next-token negative log-likelihoods (nats), a window. */
  readonly nll: number[]
  readonly logPerplexity: number
  readonly perplexity: number
  /** Predicted tokens: windows * (T - 1). */
  readonly tokens: number
  readonly seconds: number
  /** What `MeasureRequest.compareWithDense` asks for; null: not asked. */
  readonly againstDense: DenseComparison | null
  /** Of these, spent on fitting weights; present with least squares only. */
  readonly fitSeconds?: number
}

/** The next-token distributions of a policy, q, against those of the dense model, p, over all predicted tokens. */
export interface DenseComparison {
  /** Mean of KL(p || q) = sum p (log p - log q), nats a token. */
  readonly klDivergence: number
  /** Share of predicted tokens at which p and q have the same most probable token; of equals the first counts. */
  readonly top1Agreement: number
}

export interface EvaluatorOptions {
  readonly modelDirectory: string
  /** Threads of the matrix products; default: the CPUs this process may use. */
  readonly threads?: number | undefined
  /** `cuda` needs the CUDA libraries of ONNX Runtime and a device. Default: cpu. */
  readonly provider?: ExecutionProvider | undefined
  /** Which CUDA device; default: 0. */
  readonly deviceId?: number | undefined
  /** Of matrix products. Default `auto`: fp32 on a CPU, the type of the weights on a GPU. */
  readonly precision?: Precision | 'auto' | undefined
  /**
   * Memory that the evaluator may take, bytes. Runs hold no more windows than fit by the formula of `cost-model`; the
   * Node.js binding of ONNX Runtime hands no limit to its arena. Default: not limited.
   */
  readonly memoryBytes?: number | undefined
  /** Default: `stored`, so that no checkpoint takes more memory than its file. */
  readonly weights?: WeightPrecision | undefined
  /** Windows in one run of the graph; default: as many as make about 2048 tokens. */
  readonly batchWindows?: number | undefined
  /** Memory for Gram matrices while they are recorded, and for factorisations; default: a share of this machine's. */
  readonly gramMemoryBytes?: number | undefined
  /** Folder for Gram matrices and factorisations that do not fit into that memory; default: that of temporary files. */
  readonly scratchDirectory?: string | undefined
}

/** Measures one model. Calls wait for each other; the calling thread is never blocked. */
export interface Evaluator {
  /** In which the products are computed. */
  readonly precision: Precision
  /**
   * Perplexity of a policy.
   *
   * @throws EspalierError TEXT_TOO_SHORT, MODEL_WINDOW_TOO_LONG, TOKEN_OUT_OF_RANGE, POLICY_LAYER_COUNT,
   *   POLICY_UNIT_OUT_OF_RANGE, POLICY_UNCALIBRATED, EVALUATION_NOT_FINITE, EVALUATION_OUT_OF_MEMORY, EVALUATION_FAILED
   */
  measure(request: MeasureRequest): Promise<Measurement>
  /**
   * Measures policies one after another, in an order of its own: first modules that they have in common are computed
   * once, and every number is the one that `measure` gives. Results in the order of the policies; `seconds` is what a
   * policy added. Progress counts the windows of all policies. Errors of `measure`: the first ends the call.
   */
  measureMany(request: MeasureManyRequest): Promise<Measurement[]>
  /**
   * Log-likelihood of continuations under a policy, as multiple-choice tasks need them. Sequences of similar length run
   * together; one that starts another one costs nothing.
   *
   * @throws EspalierError REQUEST_INVALID for a sequence without scored tokens or without others; errors of `measure`
   */
  measureContinuations(request: ContinuationsRequest): Promise<ContinuationsMeasurement>
  /**
   * Runs the dense model once and records its modules' statistics. Errors of `measure`, and CALIBRATION_TOO_LARGE when
   * Gram matrices are wanted that fit neither into memory nor onto the disk.
   */
  calibrate(request: CalibrateRequest): Promise<CalibrationRecord>
  /** Ends the thread and frees the session; calls under way reject. */
  close(): Promise<void>
}
