import type { ModelShape } from '@espalier/contracts'
import type { ArchitectureDescription } from './architectures/architecture.js'

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
  /** The stored tensor that these are some rows of; absent: this is a stored tensor. */
  readonly rowsOf?: { readonly name: string; readonly firstRow: number }
}

/** The weights of one decoder layer; null: the architecture has none here. */
export interface LayerTensors {
  /** [hidden], before attention */
  readonly inputNorm: TensorLocation
  /** [hidden], before the feed-forward block */
  readonly feedForwardNorm: TensorLocation
  /** [hidden], after o_proj, before its output is added */
  readonly attentionOutputNorm: TensorLocation | null
  /** [hidden], after down_proj, before its output is added */
  readonly feedForwardOutputNorm: TensorLocation | null
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

export interface RotaryEmbedding {
  readonly theta: number
  /** [headDim / 2], radians a position, scaling applied. */
  readonly inverseFrequencies: Float64Array
  /** Factor on cosine and sine. */
  readonly attentionFactor: number
}

/** In what attention of one layer may differ from that of another. */
interface LayerAttention {
  /** How many tokens a position sees, its own included; null: all up to its own. */
  readonly window: number | null
  /** The same object where two layers have the same. */
  readonly rope: RotaryEmbedding
}

/** What the graph needs of `config.json` beyond the shape. */
export interface ModelConfig extends Pick<ArchitectureDescription, 'activation' | 'normOffset'> {
  readonly rmsNormEpsilon: number
  /** One a layer. */
  readonly attention: readonly LayerAttention[]
  /** Factor on the product of queries and keys. */
  readonly attentionScale: number
  /** c of c tanh(score / c), before the mask; null: scores stay as they are. */
  readonly attentionSoftcap: number | null
  /** The same for the logits. */
  readonly logitSoftcap: number | null
  /** Factor on the embedded tokens. */
  readonly embeddingScale: number
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
