import type { ArchitectureDescription } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'
import { readQwenWindows } from './read-qwen-windows.js'

/** Qwen2 and Qwen2.5: biases on q, k and v, always, and nowhere else. Source: transformers, modeling_qwen2.py. */
export const qwen2: ArchitectureDescription = {
  ...llamaDecoder,
  name: 'qwen2',
  className: 'Qwen2ForCausalLM',
  readTraits: (config) => ({ ...readLlamaTraits(config), qkvBias: true, windows: readQwenWindows(config) }),
}
