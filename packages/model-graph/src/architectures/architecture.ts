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
  /** Longest distance attention sees, in tokens, in the layer where it sees least; null: no limit. */
  readonly slidingWindow: number | null
}

/**
 * A supported architecture. To add one that shares the decoder layer of `LayerTensors` (RMS norms before
 * attention and before a gated feed-forward block, rotary positions): write a file like `llama.ts`, name it in
 * `architectures.ts` and in `architectures` of the contracts, and add a tiny reference model (bench/reference).
 */
export interface ArchitectureDescription {
  /** `model_type` of config.json. */
  readonly name: Architecture
  /** Class in `architectures` of config.json that has the language-model head. */
  readonly className: string
  /** Width of a head where config.json gives none; null: hidden_size / num_attention_heads. */
  readonly defaultHeadDim: number | null
  /** Whether queries and keys are normalised a head, before rotation. */
  readonly qkNorm: boolean
  /** Whether config.json can say that o_proj has a bias. */
  readonly attentionBiasConfigurable: boolean
  /** Whether config.json can say that down_proj has a bias. */
  readonly mlpBiasConfigurable: boolean
  readTraits(config: RawModelConfig): ArchitectureTraits
}
