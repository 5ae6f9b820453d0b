import type { RawModelConfig } from '../parse-model-config.js'
import type { ArchitectureDescription, ArchitectureTraits } from './architecture.js'
import { gemmaDecoder, readGemmaTraits } from './gemma-decoder.js'

/** Defaults of config.json (transformers, configuration_gemma3.py). */
const defaultPeriod = 6
const defaultTheta = { full: 1_000_000, windowed: 10_000 }

/**
 * Gemma 3, text: queries and keys are normalised, one layer of six sees everything, and layers with a window rotate
 * by frequencies of their own. Source: transformers, modeling_gemma3.py.
 */
export const gemma3: ArchitectureDescription = {
  ...gemmaDecoder,
  name: 'gemma3_text',
  className: 'Gemma3ForCausalLM',
  qkNorm: true,
  readTraits: (config) => ({
    ...readGemmaTraits(config, config.sliding_window_pattern ?? defaultPeriod),
    rope: readRope(config),
    // transformers reads `attn_logit_softcapping` of Gemma 3 and does not use it.
    attentionSoftcap: null,
  }),
}

/** `rope_parameters` by type of layer (transformers 5), or `rope_theta`, `rope_local_base_freq` and `rope_scaling`. */
function readRope(config: RawModelConfig): ArchitectureTraits['rope'] {
  const { full_attention: full, sliding_attention: windowed } = config.rope_parameters ?? {}
  return {
    full: { ...config, rope_parameters: full, rope_theta: config.rope_theta ?? defaultTheta.full },
    windowed: {
      ...config,
      rope_parameters: windowed,
      rope_scaling: null,
      rope_theta: config.rope_local_base_freq ?? defaultTheta.windowed,
    },
  }
}
