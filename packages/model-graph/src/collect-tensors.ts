import { basename } from 'node:path'
import { EspalierError, type ModelShape } from '@espalier/contracts'
import type { ArchitectureDescription, ArchitectureTraits } from './architectures/architecture.js'
import { missingTensor, type StoredWeights } from './find-weights.js'
import type { HuggingFaceModel, LayerTensors, TensorLocation } from './hugging-face-model.js'

const weightDtypes: readonly TensorLocation['dtype'][] = ['F32', 'F16', 'BF16']

const isWeightDtype = (dtype: string): dtype is TensorLocation['dtype'] =>
  weightDtypes.some((allowed) => allowed === dtype)

export const outputHeadName = 'lm_head.weight'

/** Sizes that fix the shape of every tensor. */
type Sizes = Pick<
  ModelShape,
  'layers' | 'hiddenSize' | 'queryHeads' | 'kvHeads' | 'headDim' | 'ffnChannels' | 'vocabularySize' | 'tiedEmbeddings'
>

/** What decides which tensors a layer has. */
type LayerTraits = Pick<ArchitectureTraits, 'qkvBias' | 'outputBias' | 'mlpBias'> &
  Pick<ArchitectureDescription, 'qkNorm' | 'outputNorms' | 'fusedProjections'>

type CollectedTensors = Pick<HuggingFaceModel, 'layers' | 'embedding' | 'finalNorm' | 'outputHead'>

/**
 * Finds every tensor of the model and checks its shape and dtype. Tensors the model does not use (such as
 * `rotary_emb.inv_freq` in old checkpoints) are left alone.
 *
 * @throws EspalierError MODEL_TENSOR_MISSING, MODEL_TENSOR_INVALID
 */
export function collectTensors(weights: StoredWeights, sizes: Sizes, traits: LayerTraits): CollectedTensors {
  const get = (name: string, shape: readonly number[]) => getTensor(weights, name, shape)
  const { hiddenSize: hidden, vocabularySize: vocabulary } = sizes
  const embedding = get('model.embed_tokens.weight', [vocabulary, hidden])
  return {
    embedding,
    finalNorm: get('model.norm.weight', [hidden]),
    outputHead: sizes.tiedEmbeddings ? embedding : get(outputHeadName, [vocabulary, hidden]),
    layers: Array.from({ length: sizes.layers }, (_, layer) => collectLayer(get, layer, sizes, traits)),
  }
}

function collectLayer(
  get: (name: string, shape: readonly number[]) => TensorLocation,
  layer: number,
  sizes: Sizes,
  traits: LayerTraits,
): LayerTensors {
  const prefix = `model.layers.${layer}`
  const weight = (name: string, ...shape: number[]) => get(`${prefix}.${name}.weight`, shape)
  const bias = (present: boolean, name: string, length: number) =>
    present ? get(`${prefix}.${name}.bias`, [length]) : null
  const { hiddenSize: hidden, ffnChannels: channels, headDim } = sizes
  const queries = sizes.queryHeads * headDim
  const keys = sizes.kvHeads * headDim
  const { qkvBias, outputBias, mlpBias, qkNorm, outputNorms, fusedProjections } = traits
  const optional = (present: boolean, name: string, ...shape: number[]) => (present ? weight(name, ...shape) : null)
  const { q, k, v, gate, up } = (fusedProjections ? splitProjections : collectProjections)(weight, sizes)
  return {
    inputNorm: weight('input_layernorm', hidden),
    feedForwardNorm: weight(outputNorms ? 'pre_feedforward_layernorm' : 'post_attention_layernorm', hidden),
    attentionOutputNorm: optional(outputNorms, 'post_attention_layernorm', hidden),
    feedForwardOutputNorm: optional(outputNorms, 'post_feedforward_layernorm', hidden),
    ...{ q, k, v, o: weight('self_attn.o_proj', hidden, queries) },
    ...{ gate, up, down: weight('mlp.down_proj', hidden, channels) },
    qBias: bias(qkvBias, 'self_attn.q_proj', queries),
    kBias: bias(qkvBias, 'self_attn.k_proj', keys),
    vBias: bias(qkvBias, 'self_attn.v_proj', keys),
    oBias: bias(outputBias, 'self_attn.o_proj', hidden),
    gateBias: bias(mlpBias, 'mlp.gate_proj', channels),
    upBias: bias(mlpBias, 'mlp.up_proj', channels),
    downBias: bias(mlpBias, 'mlp.down_proj', hidden),
    qNorm: optional(qkNorm, 'self_attn.q_norm', headDim),
    kNorm: optional(qkNorm, 'self_attn.k_norm', headDim),
  }
}

type Projections = Pick<LayerTensors, 'q' | 'k' | 'v' | 'gate' | 'up'>
type GetWeight = (name: string, ...shape: number[]) => TensorLocation

function collectProjections(weight: GetWeight, sizes: Sizes): Projections {
  const { hiddenSize: hidden, ffnChannels: channels, headDim } = sizes
  return {
    q: weight('self_attn.q_proj', sizes.queryHeads * headDim, hidden),
    k: weight('self_attn.k_proj', sizes.kvHeads * headDim, hidden),
    v: weight('self_attn.v_proj', sizes.kvHeads * headDim, hidden),
    gate: weight('mlp.gate_proj', channels, hidden),
    up: weight('mlp.up_proj', channels, hidden),
  }
}

/** q, k and v are rows of one stored tensor, in this order, gate and up of another. */
function splitProjections(weight: GetWeight, sizes: Sizes): Projections {
  const { hiddenSize: hidden, ffnChannels: channels, headDim } = sizes
  const queries = sizes.queryHeads * headDim
  const keys = sizes.kvHeads * headDim
  const qkv = weight('self_attn.qkv_proj', queries + 2 * keys, hidden)
  const gateUp = weight('mlp.gate_up_proj', 2 * channels, hidden)
  return {
    q: sliceRows(qkv, 'q_proj', 0, queries),
    k: sliceRows(qkv, 'k_proj', queries, keys),
    v: sliceRows(qkv, 'v_proj', queries + keys, keys),
    gate: sliceRows(gateUp, 'gate_proj', 0, channels),
    up: sliceRows(gateUp, 'up_proj', channels, channels),
  }
}

/** Rows of a stored matrix as a tensor of its own: they lie side by side in the file. */
function sliceRows(fused: TensorLocation, part: string, firstRow: number, rows: number): TensorLocation {
  const [storedRows = 0, columns = 0] = fused.shape
  const rowBytes = fused.bytes / storedRows
  return {
    ...fused,
    name: fused.name.replace(/\w+\.weight$/, `${part}.weight`),
    shape: [rows, columns],
    offset: fused.offset + firstRow * rowBytes,
    bytes: rows * rowBytes,
    rowsOf: { name: fused.name, firstRow },
  }
}

function getTensor(weights: StoredWeights, name: string, shape: readonly number[]): TensorLocation {
  const stored = weights.tensors.get(name)
  if (!stored) throw missingTensor(weights.listedIn, name, `shape [${shape.join(', ')}]`)
  const { file, dtype, offset, bytes } = stored
  if (!isWeightDtype(dtype)) throw invalidTensor(file, name, `dtype ${weightDtypes.join(', ')}`, dtype)
  if (stored.shape.length !== shape.length || stored.shape.some((length, i) => length !== shape[i])) {
    throw invalidTensor(file, name, `shape [${shape.join(', ')}]`, showShape(stored.shape))
  }
  return { name, file, fileName: basename(file), dtype, shape, offset, bytes }
}

/** A file may give a tensor as many dimensions as it likes. */
function showShape(shape: readonly number[]): string {
  const most = 8
  return `[${shape.slice(0, most).join(', ')}${shape.length > most ? ', ...' : ''}]`
}

export function invalidTensor(file: string, tensor: string, expected: string, found: string): EspalierError {
  const message = `${file}, tensor ${tensor}: expected ${expected}, found ${found}`
  return new EspalierError('MODEL_TENSOR_INVALID', message, { file, tensor, expected, found })
}

/** Every tensor the model uses, each once, in the order of the computation. */
export function listTensors(tensors: CollectedTensors): readonly TensorLocation[] {
  const ofLayers = tensors.layers.flatMap((layer) => Object.values(layer) as (TensorLocation | null)[])
  const all = [tensors.embedding, ...ofLayers, tensors.finalNorm, tensors.outputHead]
  return [...new Set(all.filter((tensor) => tensor !== null))]
}
