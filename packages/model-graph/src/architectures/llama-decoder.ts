import type { RawModelConfig } from '../parse-model-config.js'
import type { ArchitectureDescription, ArchitectureTraits } from './architecture.js'

/** The decoder of Llama without biases, which most others only vary. Source: transformers, modeling_llama.py. */
export const llamaDecoder = {
  defaultHeadDim: null,
  tiedByDefault: false,
  activation: 'silu',
  activationField: 'hidden_act',
  qkNorm: false,
  normOffset: 0,
  outputNorms: false,
  fusedProjections: false,
  attentionBiasConfigurable: false,
  mlpBiasConfigurable: false,
} as const satisfies Partial<ArchitectureDescription>

export function readLlamaTraits(config: RawModelConfig): ArchitectureTraits {
  return {
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    windows: Array.from({ length: config.num_hidden_layers }, () => null),
    rope: { full: config, windowed: config },
    attentionScale: null,
    attentionSoftcap: null,
    logitSoftcap: null,
    embeddingScale: 1,
  }
}
