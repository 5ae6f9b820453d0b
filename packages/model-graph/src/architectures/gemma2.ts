import type { ArchitectureDescription } from './architecture.js'
import { gemmaDecoder, readGemmaTraits } from './gemma-decoder.js'

/** Where config.json does not mention them; null there: none (transformers, configuration_gemma2.py). */
const defaultSoftcaps = { attn_logit_softcapping: 50, final_logit_softcapping: 30 }

/** Gemma 2: every other layer has a window; attention scores and logits are capped. Source: modeling_gemma2.py. */
export const gemma2: ArchitectureDescription = {
  ...gemmaDecoder,
  name: 'gemma2',
  className: 'Gemma2ForCausalLM',
  readTraits: (config) => readGemmaTraits({ ...defaultSoftcaps, ...config }, 2),
}
