import type { ArchitectureDescription } from './architecture.js'

/** Llama 1 to 3.x and everything that took its config. Source: transformers, modeling_llama.py. */
export const llama: ArchitectureDescription = {
  name: 'llama',
  className: 'LlamaForCausalLM',
  defaultHeadDim: null,
  qkNorm: false,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  readTraits: (config) => ({
    qkvBias: config.attention_bias,
    outputBias: config.attention_bias,
    mlpBias: config.mlp_bias,
    slidingWindow: null,
  }),
}
