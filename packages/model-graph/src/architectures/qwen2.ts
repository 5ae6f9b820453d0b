import type { ArchitectureDescription } from './architecture.js'
import { readQwenWindow } from './read-qwen-window.js'

/** Qwen2 and Qwen2.5: biases on q, k and v, always, and nowhere else. Source: transformers, modeling_qwen2.py. */
export const qwen2: ArchitectureDescription = {
  name: 'qwen2',
  className: 'Qwen2ForCausalLM',
  defaultHeadDim: null,
  qkNorm: false,
  attentionBiasConfigurable: false,
  mlpBiasConfigurable: false,
  readTraits: (config) => ({
    qkvBias: true,
    outputBias: false,
    mlpBias: false,
    slidingWindow: readQwenWindow(config),
  }),
}
