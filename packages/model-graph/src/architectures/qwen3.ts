import type { ArchitectureDescription } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'
import { readQwenWindows } from './read-qwen-windows.js'

/** Qwen3 (dense): normalised queries and keys, explicit head width. Source: transformers, modeling_qwen3.py. */
export const qwen3: ArchitectureDescription = {
  ...llamaDecoder,
  name: 'qwen3',
  className: 'Qwen3ForCausalLM',
  defaultHeadDim: 128,
  qkNorm: true,
  attentionBiasConfigurable: true,
  readTraits: (config) => ({
    ...readLlamaTraits(config),
    qkvBias: config.attention_bias,
    outputBias: config.attention_bias,
    windows: readQwenWindows(config),
  }),
}
