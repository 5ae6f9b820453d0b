import { EspalierError, showValue } from '@espalier/contracts'
import { type JsonRules, parseJson } from '@espalier/tensor-files'
import { z } from 'zod'
import { findModelFile } from './find-model-file.js'
import { readModelText } from './read-text.js'

/** A real config.json has a few kilobytes; parsing JSON takes many times its size in memory. */
const maxConfigBytes = 4 * 2 ** 20

const count = z
  .int()
  .positive()
  .max(2 ** 31 - 1)

/** Arrays of this length are made before any weight is seen; no head is a hundredth of it. */
const headWidth = count.max(2 ** 16)
/** Below 1 a frequency would grow with its index, in the end beyond every number. */
const ropeTheta = z.number().min(1)
/** Single precision holds c and 1 / c. */
const softcap = z.number().min(1e-3).max(1e6)

/**
 * Rotary settings, `rope_parameters` (transformers 5) or `rope_scaling` (before).
 * `type` is what `rope_type` was called before transformers 4.45.
 */
const ropeSettingsSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: ropeTheta.optional(),
  partial_rotary_factor: z.number().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
})

/** Some have settings by type of layer. */
const ropeParametersSchema = ropeSettingsSchema.extend({
  full_attention: ropeSettingsSchema.nullish(),
  sliding_attention: ropeSettingsSchema.nullish(),
})

/** The fields of `config.json` that decide what is computed. Defaults that differ by architecture stay undefined. */
const modelConfigSchema = z.looseObject({
  hidden_size: count.max(2 ** 20),
  intermediate_size: count,
  num_hidden_layers: count.max(4096),
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: headWidth.nullish(),
  vocab_size: count,
  max_position_embeddings: count,
  rms_norm_eps: z.number().positive().max(1).default(1e-6),
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().min(0).default(28),
  sliding_window_pattern: count.nullish(),
  layer_types: z.array(z.string()).nullish(),
  use_bidirectional_attention: z.boolean().nullish(),
  query_pre_attn_scalar: z.number().min(1).nullish(),
  attn_logit_softcapping: softcap.nullish(),
  final_logit_softcapping: softcap.nullish(),
  rope_theta: ropeTheta.nullish(),
  rope_local_base_freq: ropeTheta.nullish(),
  partial_rotary_factor: z.number().nullish(),
  original_max_position_embeddings: count.nullish(),
  rope_scaling: ropeParametersSchema.nullish(),
  rope_parameters: ropeParametersSchema.nullish(),
})

export type RawModelConfig = z.infer<typeof modelConfigSchema>
export type RopeSettings = z.infer<typeof ropeSettingsSchema>

/** The fields that say whether the rest can be understood. */
const modelIdentitySchema = z.looseObject({
  model_type: z.string(),
  architectures: z.array(z.string()).nullish(),
  hidden_act: z.string().nullish(),
  hidden_activation: z.string().nullish(),
  quantization_config: z.unknown().optional(),
})

export type ModelIdentity = z.infer<typeof modelIdentitySchema>

export const configFileName = 'config.json'

/** Reads `config.json` of a model folder. @throws EspalierError MODEL_UNREADABLE, MODEL_CONFIG_INVALID (not JSON) */
export async function readConfigFile(directory: string): Promise<Readonly<Record<string, unknown>>> {
  const path = await findModelFile(directory, configFileName)
  if (path === null) {
    const message = `${directory}: expected ${configFileName}, found none`
    throw new EspalierError('MODEL_UNREADABLE', message, { file: directory, expected: configFileName, found: null })
  }
  const json = await readJson(path, maxConfigBytes, 'MODEL_CONFIG_INVALID')
  return parseConfig(z.record(z.string(), z.unknown()), json)
}

/** @throws EspalierError MODEL_CONFIG_INVALID */
export function parseModelIdentity(raw: unknown): ModelIdentity {
  return parseConfig(modelIdentitySchema, raw)
}

/** @throws EspalierError MODEL_CONFIG_INVALID */
export function parseModelConfig(raw: unknown): RawModelConfig {
  return parseConfig(modelConfigSchema, raw)
}

function parseConfig<T>(schema: z.ZodType<T>, raw: unknown): T {
  const parsed = schema.safeParse(raw)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const expected = issue?.message ?? 'a valid configuration'
  throw refuseConfig(issue?.path.join('.') || 'top level', expected, valueAt(raw, issue?.path ?? []))
}

/** The error of a field of `config.json` that is not as it has to be. */
export function refuseConfig(
  field: string,
  expected: unknown,
  found: unknown,
  code: 'MODEL_CONFIG_INVALID' | 'MODEL_UNSUPPORTED_ARCHITECTURE' = 'MODEL_CONFIG_INVALID',
): EspalierError {
  const message = `${configFileName}, ${field}: expected ${showValue(expected)}, found ${showValue(found)}`
  const short = found === undefined || found === null || typeof found === 'number' ? (found ?? null) : showValue(found)
  return new EspalierError(code, message, { file: configFileName, field, expected, found: short })
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined),
    root,
  )
}

/** Reads a JSON file of a model folder. @throws EspalierError MODEL_UNREADABLE, or `code` when it is not JSON */
export async function readJson(
  path: string,
  maxBytes: number,
  code: 'MODEL_CONFIG_INVALID' | 'MODEL_FILE_INVALID',
  rules: JsonRules = {},
): Promise<unknown> {
  const text = await readModelText(path, maxBytes, code)
  try {
    return parseJson(text, rules)
  } catch (cause) {
    const found = showValue(cause instanceof Error ? cause.message : String(cause))
    throw new EspalierError(code, `${path}: expected JSON, found: ${found}`, { file: path, expected: 'JSON', found })
  }
}
