import type { ModelShape } from '@espalier/contracts'

/** Where a weight lies on disk. Offsets point into the file itself, so that a graph can name it as external data. */
export interface TensorLocation {
  readonly name: string
  /** Absolute path. */
  readonly file: string
  readonly fileName: string
  readonly dtype: 'F32' | 'F16' | 'BF16'
  /** Linear weights are [outputs, inputs], as PyTorch stores them. */
  readonly shape: readonly number[]
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
}

/** The weights of one decoder layer; null: the architecture has none here. */
export interface LayerTensors {
  /** [hidden] */
  readonly inputNorm: TensorLocation
  /** [hidden] */
  readonly postAttentionNorm: TensorLocation
  /** [queryHeads * headDim, hidden] */
  readonly q: TensorLocation
  /** [kvHeads * headDim, hidden] */
  readonly k: TensorLocation
  /** [kvHeads * headDim, hidden] */
  readonly v: TensorLocation
  /** [hidden, queryHeads * headDim] */
  readonly o: TensorLocation
  /** [ffnChannels, hidden] */
  readonly gate: TensorLocation
  /** [ffnChannels, hidden] */
  readonly up: TensorLocation
  /** [hidden, ffnChannels] */
  readonly down: TensorLocation
  readonly qBias: TensorLocation | null
  readonly kBias: TensorLocation | null
  readonly vBias: TensorLocation | null
  readonly oBias: TensorLocation | null
  readonly gateBias: TensorLocation | null
  readonly upBias: TensorLocation | null
  readonly downBias: TensorLocation | null
  /** [headDim], shared by the heads */
  readonly qNorm: TensorLocation | null
  /** [headDim], shared by the heads */
  readonly kNorm: TensorLocation | null
}

/** What the graph needs of `config.json` beyond the shape. */
export interface ModelConfig {
  readonly rmsNormEpsilon: number
  readonly rope: {
    readonly theta: number
    /** [headDim / 2], radians a position, scaling applied. */
    readonly inverseFrequencies: Float64Array
    /** Factor on cosine and sine. */
    readonly attentionFactor: number
  }
  /** Whether queries and keys are normalised a head before rotation. */
  readonly qkNorm: boolean
  /** `config.json` as it stands. */
  readonly raw: Readonly<Record<string, unknown>>
}

/** A Hugging Face folder whose every weight has been found and checked. */
export interface HuggingFaceModel {
  /** Absolute path. */
  readonly directory: string
  readonly shape: ModelShape
  readonly config: ModelConfig
  readonly layers: readonly LayerTensors[]
  /** [vocabulary, hidden] */
  readonly embedding: TensorLocation
  /** [hidden] */
  readonly finalNorm: TensorLocation
  /** [vocabulary, hidden]; the same object as `embedding` when tied. */
  readonly outputHead: TensorLocation
  /** Absolute paths, sorted. */
  readonly weightFiles: readonly string[]
  /** The whole tensor as float32, row-major. */
  readFloat32(location: TensorLocation): Promise<Float32Array>
}
