import type { ArchitectureDescription } from './architecture.js'
import { readQwenWindow } from './read-qwen-window.js'

/** Qwen3 (dense): normalised queries and keys, explicit head width. Source: transformers, modeling_qwen3.py. */
export const qwen3: ArchitectureDescription = {
  name: 'qwen3',
  className: 'Qwen3ForCausalLM',
  defaultHeadDim: 128,
  qkNorm: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: false,
  readTraits: (config) => ({
    qkvBias: config.attention_bias,
    outputBias: config.attention_bias,
    mlpBias: false,
    slidingWindow: readQwenWindow(config),
  }),
}
