import type { Architecture } from '@espalier/contracts'
import type { RawModelConfig } from '../parse-model-config.js'

/** What one model of an architecture has, read from its config.json. */
export interface ArchitectureTraits {
  /** Biases of q, k and v. */
  readonly qkvBias: boolean
  /** Bias of o. */
  readonly outputBias: boolean
  /** Biases of gate, up and down. */
  readonly mlpBias: boolean
  /** How many tokens attention sees, its own position included, one a layer; null: all up to its own. */
  readonly windows: readonly (number | null)[]
  /** Where the rotary settings of the layers stand: without a window, and with one. */
  readonly rope: { readonly full: RawModelConfig; readonly windowed: RawModelConfig }
  /** Factor on the product of queries and keys; null: 1 / sqrt(headDim). */
  readonly attentionScale: number | null
  /** c of c tanh(score / c), before the mask; null: scores stay as they are. */
  readonly attentionSoftcap: number | null
  /** The same for the logits. */
  readonly logitSoftcap: number | null
  /** Factor on the embedded tokens. */
  readonly embeddingScale: number
}

type Activation = 'silu' | 'gelu_pytorch_tanh'

/**
 * A supported architecture: a decoder with RMS norms before attention and before a gated feed-forward block, rotary
 * positions, and the variations listed here. To add one: write a file like `mistral.ts`, name it in
 * `get-architecture.ts` and in `architectures` of the contracts, and add a tiny reference model (bench/reference).
 */
export interface ArchitectureDescription {
  /** `model_type` of config.json. */
  readonly name: Architecture
  /** Class in `architectures` of config.json that has the language-model head. */
  readonly className: string
  /** Width of a head where config.json gives none; null: hidden_size / num_attention_heads. */
  readonly defaultHeadDim: number | null
  /** Whether the output head is the embedding where config.json does not say it. */
  readonly tiedByDefault: boolean
  /** Activation of the gate, and the field of config.json that may only say the same. */
  readonly activation: Activation
  readonly activationField: 'hidden_act' | 'hidden_activation'
  /** Whether queries and keys are normalised a head, before rotation. */
  readonly qkNorm: boolean
  /** Norms multiply by this plus their weight. */
  readonly normOffset: 0 | 1
  /** Whether the outputs of attention and feed-forward block are normalised before they are added. */
  readonly outputNorms: boolean
  /** Whether q, k and v are rows of one stored tensor, and gate and up of another. */
  readonly fusedProjections: boolean
  /** Whether config.json can say that o_proj has a bias. */
  readonly attentionBiasConfigurable: boolean
  /** Whether config.json can say that down_proj has a bias. */
  readonly mlpBiasConfigurable: boolean
  readTraits(config: RawModelConfig): ArchitectureTraits
}
