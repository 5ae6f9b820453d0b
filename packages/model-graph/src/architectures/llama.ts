import type { ArchitectureDescription } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'

/** Llama 1 to 3.x and everything that took its config. Source: transformers, modeling_llama.py. */
export const llama: ArchitectureDescription = {
  ...llamaDecoder,
  name: 'llama',
  className: 'LlamaForCausalLM',
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  readTraits: (config) => ({
    ...readLlamaTraits(config),
    qkvBias: config.attention_bias,
    outputBias: config.attention_bias,
    mlpBias: config.mlp_bias,
  }),
}
