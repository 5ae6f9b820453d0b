import type { ArchitectureDescription } from './architecture.js'

/** The window of a config.json that does not mention one (transformers, configuration_mistral.py). */
const defaultSlidingWindow = 4096

/** Mistral: Llama without biases, every layer within a sliding window. Source: transformers, modeling_mistral.py. */
export const mistral: ArchitectureDescription = {
  name: 'mistral',
  className: 'MistralForCausalLM',
  defaultHeadDim: null,
  qkNorm: false,
  attentionBiasConfigurable: false,
  mlpBiasConfigurable: false,
  readTraits: (config) => ({
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    slidingWindow: config.sliding_window === undefined ? defaultSlidingWindow : config.sliding_window,
  }),
}
