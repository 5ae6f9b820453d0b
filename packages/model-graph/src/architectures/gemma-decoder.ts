import { type RawModelConfig, refuseConfig } from '../parse-model-config.js'
import type { ArchitectureDescription, ArchitectureTraits } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'
import { readWindows } from './read-windows.js'

/** Defaults of config.json (transformers, configuration_gemma2.py and configuration_gemma3.py). */
const defaultSlidingWindow = 4096
const defaultQueryScalar = 256

/**
 * What Gemma 2 and 3 share: norms that multiply by 1 + weight, four of them a layer, a scaled embedding, another
 * activation, and layers with and without a window in turn. Source: transformers, modeling_gemma2.py.
 */
export const gemmaDecoder = {
  ...llamaDecoder,
  defaultHeadDim: 256,
  tiedByDefault: true,
  activation: 'gelu_pytorch_tanh',
  activationField: 'hidden_activation',
  normOffset: 1,
  outputNorms: true,
  attentionBiasConfigurable: true,
} as const satisfies Partial<ArchitectureDescription>

/**
 * @param period every so many layers one sees everything, where config.json does not name the layers
 * @throws EspalierError MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE (attention in both directions)
 */
export function readGemmaTraits(config: RawModelConfig, period: number): ArchitectureTraits {
  if (config.use_bidirectional_attention) {
    throw refuseConfig('use_bidirectional_attention', false, true, 'MODEL_UNSUPPORTED_ARCHITECTURE')
  }
  if (config.sliding_window === null) throw refuseConfig('sliding_window', 'a positive whole number', null)
  return {
    ...readLlamaTraits(config),
    qkvBias: config.attention_bias,
    outputBias: config.attention_bias,
    windows: readWindows(config, defaultSlidingWindow, (layer) => (layer + 1) % period !== 0),
    attentionScale: (config.query_pre_attn_scalar ?? defaultQueryScalar) ** -0.5,
    attentionSoftcap: config.attn_logit_softcapping ?? null,
    logitSoftcap: config.final_logit_softcapping ?? null,
    embeddingScale: Math.sqrt(config.hidden_size),
  }
}
