import type { ArchitectureDescription } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'
import { readWindows } from './read-windows.js'

/** The window of a config.json that does not mention one (transformers, configuration_mistral.py). */
const defaultSlidingWindow = 4096

/** Mistral: Llama without biases, every layer within a sliding window. Source: transformers, modeling_mistral.py. */
export const mistral: ArchitectureDescription = {
  ...llamaDecoder,
  name: 'mistral',
  className: 'MistralForCausalLM',
  readTraits: (config) => ({
    ...readLlamaTraits(config),
    windows: readWindows({ ...config, layer_types: null }, defaultSlidingWindow, () => true),
  }),
}
