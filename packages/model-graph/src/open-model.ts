import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { EspalierError, type ModelShape } from '@espalier/contracts'
import { readFloat32At } from '@espalier/tensor-files'
import type { ArchitectureDescription, ArchitectureTraits } from './architectures/architecture.js'
import { getArchitecture } from './architectures/get-architecture.js'
import { collectTensors, invalidTensor, listTensors, outputHeadName } from './collect-tensors.js'
import { computeRope } from './compute-rope.js'
import { findWeights, type StoredTensor } from './find-weights.js'
import type { HuggingFaceModel, ModelConfig } from './hugging-face-model.js'
import {
  parseModelConfig,
  parseModelIdentity,
  type RawModelConfig,
  readConfigFile,
  refuseConfig,
} from './parse-model-config.js'

/**
 * Opens a model folder in Hugging Face format (`config.json`, one or many `.safetensors`). Reads headers only;
 * every tensor the model uses is found, and its shape and dtype checked.
 *
 * @throws EspalierError MODEL_NOT_FOUND, MODEL_UNREADABLE, MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE,
 *   MODEL_TENSOR_MISSING, MODEL_TENSOR_INVALID, MODEL_FILE_TRUNCATED, MODEL_FILE_INVALID; details have file,
 *   tensor or field, expected and found
 */
export async function openModel(directory: string): Promise<HuggingFaceModel> {
  const root = resolve(directory)
  await refuseMissing(root)
  const raw = await readConfigFile(root)
  const architecture = getArchitecture(parseModelIdentity(raw))
  const config = parseModelConfig(raw)
  const traits = architecture.readTraits(config)
  const sizes = readSizes(config, architecture, traits)
  const computation = readComputation(config, sizes.headDim, architecture, traits)
  const weights = await findWeights(root)
  const tensors = collectTensors(weights, sizes, { ...architecture, ...traits })
  if (sizes.tiedEmbeddings) {
    await refuseContradictingHead(tensors.embedding, weights.tensors.get(outputHeadName))
  }
  const used = listTensors(tensors)
  return {
    directory: root,
    shape: {
      ...sizes,
      parameters: used.reduce((sum, { shape }) => sum + shape.reduce((product, length) => product * length, 1), 0),
      weightBytes: used.reduce((sum, { bytes }) => sum + bytes, 0),
    },
    config: { ...computation, raw },
    ...tensors,
    weightFiles: weights.files,
    readFloat32: (location) => readFloat32At(location.file, location),
  }
}

export async function refuseMissing(directory: string): Promise<void> {
  const found = await stat(directory).catch(() => null)
  if (found?.isDirectory()) return
  const what = found ? 'a file' : 'nothing'
  throw new EspalierError('MODEL_NOT_FOUND', `${directory}: expected a model folder, found ${what}`, {
    file: directory,
    expected: 'a model folder',
    found: what,
  })
}

export function readSizes(
  config: RawModelConfig,
  architecture: ArchitectureDescription,
  traits: ArchitectureTraits,
): Omit<ModelShape, 'parameters' | 'weightBytes'> {
  const queryHeads = config.num_attention_heads
  const kvHeads = config.num_key_value_heads ?? queryHeads
  if (queryHeads % kvHeads !== 0) {
    throw refuseConfig('num_key_value_heads', `a divisor of num_attention_heads (${queryHeads})`, kvHeads)
  }
  const headDim = config.head_dim ?? architecture.defaultHeadDim ?? config.hidden_size / queryHeads
  if (headDim % 2 !== 0) throw refuseConfig('head_dim', 'an even whole number', headDim)
  return {
    architecture: architecture.name,
    layers: config.num_hidden_layers,
    hiddenSize: config.hidden_size,
    queryHeads,
    kvHeads,
    headDim,
    ffnChannels: config.intermediate_size,
    vocabularySize: config.vocab_size,
    maxPositions: config.max_position_embeddings,
    slidingWindow: shortest(traits.windows),
    tiedEmbeddings: config.tie_word_embeddings ?? architecture.tiedByDefault,
    attentionBiasConfigurable: architecture.attentionBiasConfigurable,
    mlpBiasConfigurable: architecture.mlpBiasConfigurable,
  }
}

function shortest(windows: ArchitectureTraits['windows']): number | null {
  const limits = windows.filter((window) => window !== null)
  return limits.length === 0 ? null : Math.min(...limits)
}

function readComputation(
  config: RawModelConfig,
  headDim: number,
  { activation, normOffset, qkNorm }: ArchitectureDescription,
  { windows, rope, attentionScale, attentionSoftcap, logitSoftcap, embeddingScale }: ArchitectureTraits,
): Omit<ModelConfig, 'raw'> {
  const full = computeRope(rope.full, headDim)
  const windowed = rope.windowed === rope.full ? full : computeRope(rope.windowed, headDim)
  return {
    rmsNormEpsilon: config.rms_norm_eps,
    attention: windows.map((window) => ({ window, rope: window === null ? full : windowed })),
    attentionScale: attentionScale ?? 1 / Math.sqrt(headDim),
    ...{ activation, normOffset, qkNorm, attentionSoftcap, logitSoftcap, embeddingScale },
  }
}

/**
 * A tied model may carry its matrix twice. If the two differ, transformers 4 ties them and transformers 5 does
 * not: no number would be right, so such a folder is refused.
 */
async function refuseContradictingHead(embedding: StoredPlace, head: StoredTensor | undefined): Promise<void> {
  if (!head) return
  if (head.bytes === embedding.bytes && (await hashOf(head)) === (await hashOf(embedding))) return
  throw invalidTensor(head.file, outputHeadName, 'the values of the embedding (tie_word_embeddings is true)', 'others')
}

type StoredPlace = Pick<StoredTensor, 'file' | 'offset' | 'bytes'>

async function hashOf({ file, offset, bytes }: StoredPlace): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { start: offset, end: offset + bytes - 1 }), hash)
  return hash.digest('hex')
}
