import { resolve } from 'node:path'
import type { ModelShape } from '@espalier/contracts'
import { getArchitecture } from './architectures/get-architecture.js'
import { readSizes, refuseMissing } from './open-model.js'
import { parseModelConfig, parseModelIdentity, readConfigFile } from './parse-model-config.js'

/** What config.json alone says of a model. */
export interface OutlinedModel {
  /** `parameters` and `weightBytes` without biases and norms of heads, which are under 0.1 %. */
  readonly shape: ModelShape
  /** Bytes of a weight, by `dtype` or `torch_dtype`; float32 where neither is given, as transformers takes it. */
  readonly storedBytes: 2 | 4
}

/**
 * Reads the shape of a model from its `config.json`; no weights need be there.
 *
 * @throws EspalierError MODEL_NOT_FOUND, MODEL_UNREADABLE, MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE
 */
export async function readModelShape(directory: string): Promise<OutlinedModel> {
  const root = resolve(directory)
  await refuseMissing(root)
  const raw = await readConfigFile(root)
  const architecture = getArchitecture(parseModelIdentity(raw))
  const config = parseModelConfig(raw)
  const sizes = readSizes(config, architecture, architecture.readTraits(config))
  const storedBytes = /^(float16|bfloat16)$/.test(String(raw.dtype ?? raw.torch_dtype)) ? 2 : 4
  const parameters = countParameters(sizes)
  return { shape: { ...sizes, parameters, weightBytes: parameters * storedBytes }, storedBytes }
}

function countParameters(sizes: Omit<ModelShape, 'parameters' | 'weightBytes'>): number {
  const {
    hiddenSize: hidden,
    ffnChannels,
    queryHeads,
    kvHeads,
    headDim,
    layers,
    vocabularySize,
    tiedEmbeddings,
  } = sizes
  const attention = (2 * queryHeads + 2 * kvHeads) * headDim * hidden
  const norms = 2 * hidden
  const embeddings = (tiedEmbeddings ? 1 : 2) * vocabularySize * hidden
  return embeddings + layers * (attention + 3 * ffnChannels * hidden + norms) + hidden
}
