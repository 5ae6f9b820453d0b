import type { RotaryEmbedding } from './hugging-face-model.js'
import { type RawModelConfig, type RopeSettings, refuseConfig } from './parse-model-config.js'

const { fround } = Math

/** Base of the frequencies where config.json gives none (all supported architectures). */
const defaultTheta = 10_000

/**
 * Inverse frequencies of the rotary embedding, 1 / theta^(2i / headDim), every step rounded to float32 as transformers
 * does: at position 500 that is up to 5e-5 of an angle. Scaled as config.json says.
 * Precedence as in transformers: `rope_scaling`, else `rope_parameters`; a theta inside before the one beside.
 *
 * @throws EspalierError MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE (any scaling but `linear` and `llama3`)
 */
export function computeRope(config: RawModelConfig, headDim: number): RotaryEmbedding {
  const scaling = config.rope_scaling && Object.keys(config.rope_scaling).length > 0 ? config.rope_scaling : null
  const field = scaling ? 'rope_scaling' : 'rope_parameters'
  const parameters = scaling ?? config.rope_parameters ?? {}
  refusePartialRotation(config, parameters)
  const theta = parameters.rope_theta ?? config.rope_theta ?? defaultTheta
  const plain = Float64Array.from({ length: headDim / 2 }, (_, i) => invert(theta, fround((2 * i) / headDim)))
  const type = parameters.rope_type ?? parameters.type ?? 'default'
  if (type === 'default') return { theta, inverseFrequencies: plain, attentionFactor: 1 }
  if (type !== 'linear' && type !== 'llama3') {
    throw refuseConfig(`${field}.rope_type`, ['default', 'linear', 'llama3'], type, 'MODEL_UNSUPPORTED_ARCHITECTURE')
  }
  const scale = type === 'linear' ? scaleLinearly : scaleLikeLlama3
  return { theta, inverseFrequencies: scale(plain, config, parameters, field), attentionFactor: 1 }
}

function invert(theta: number, exponent: number): number {
  return fround(1 / fround(theta ** exponent))
}

function refusePartialRotation(config: RawModelConfig, parameters: RopeSettings): void {
  const factor = parameters.partial_rotary_factor ?? config.partial_rotary_factor ?? 1
  if (factor !== 1) throw refuseConfig('partial_rotary_factor', 1, factor, 'MODEL_UNSUPPORTED_ARCHITECTURE')
}

/** f / factor. Source: transformers, modeling_rope_utils.py, `_compute_linear_scaling_rope_parameters`. */
function scaleLinearly(plain: Float64Array, _config: RawModelConfig, { factor }: RopeSettings, field: string) {
  if (factor === undefined) throw refuseConfig(`${field}.factor`, 'a positive number', factor)
  return plain.map((frequency) => frequency / factor)
}

/**
 * Llama 3.1 scaling, with wavelength w = 2 pi / f and original context C:
 * f when w < C / high, f / factor when w > C / low, and between them
 * (1 - s) f / factor + s f with s = (C / w - low) / (high - low).
 * Source: transformers, modeling_rope_utils.py, `_compute_llama3_parameters`.
 */
function scaleLikeLlama3(
  plain: Float64Array,
  config: RawModelConfig,
  parameters: RopeSettings,
  field: string,
): Float64Array {
  const required = (name: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = parameters[name]
    if (value === undefined) throw refuseConfig(`${field}.${name}`, 'a positive number', value)
    return value
  }
  const [factor, low, high] = [required('factor'), required('low_freq_factor'), required('high_freq_factor')]
  if (high <= low) throw refuseConfig(`${field}.high_freq_factor`, `more than low_freq_factor (${low})`, high)
  const context =
    parameters.original_max_position_embeddings ??
    config.original_max_position_embeddings ??
    config.max_position_embeddings
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency
    if (wavelength < context / high) return frequency
    if (wavelength > context / low) return frequency / factor
    const smooth = (context / wavelength - low) / (high - low)
    return ((1 - smooth) * frequency) / factor + smooth * frequency
  })
}
