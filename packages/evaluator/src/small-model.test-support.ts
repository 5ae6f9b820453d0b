import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandomGenerator } from '@espalier/pruning'
import { writeSafetensors } from '@espalier/tensor-files'

/** File name -> bytes. */
export type ModelFiles = Map<string, Buffer>

const [layers, hidden, headDim, kvHeads, queryHeads, defaultChannels] = [2, 16, 8, 1, 2, 24] as const
export const vocabulary = 260
export const maxPositions = 64

export const smallConfig = {
  ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', hidden_size: hidden },
  ...{
    intermediate_size: defaultChannels,
    num_hidden_layers: layers,
    num_attention_heads: queryHeads,
    head_dim: headDim,
  },
  ...{ num_key_value_heads: kvHeads, vocab_size: vocabulary, max_position_embeddings: maxPositions },
  ...{ rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false, attention_bias: false, mlp_bias: false },
}

/** Every tensor of a Llama model of two layers. */
function shapes(channels: number): Record<string, number[]> {
  const [queries, keys] = [queryHeads * headDim, kvHeads * headDim]
  const all: Record<string, number[]> = {
    'model.embed_tokens.weight': [vocabulary, hidden],
    'model.norm.weight': [hidden],
    'lm_head.weight': [vocabulary, hidden],
  }
  for (let layer = 0; layer < layers; layer++) {
    const name = (rest: string) => `model.layers.${layer}.${rest}.weight`
    for (const norm of ['input_layernorm', 'post_attention_layernorm']) all[name(norm)] = [hidden]
    all[name('self_attn.q_proj')] = [queries, hidden]
    all[name('self_attn.k_proj')] = all[name('self_attn.v_proj')] = [keys, hidden]
    all[name('self_attn.o_proj')] = [hidden, queries]
    all[name('mlp.gate_proj')] = all[name('mlp.up_proj')] = [channels, hidden]
    all[name('mlp.down_proj')] = [hidden, channels]
  }
  return all
}

/** Of a longer tensor the rest repeats what was drawn: drawing takes long. */
const mostDrawn = 8192

/** The model in one file, and the same in two shards; both with a tokenizer of bytes. */
export async function createSmallModel(
  channels: number = defaultChannels,
): Promise<{ single: ModelFiles; sharded: ModelFiles }> {
  const random = createRandomGenerator(1, 'weights')
  const tensors = Object.entries(shapes(channels)).map(([name, shape]) => {
    const length = shape.reduce((a, b) => a * b, 1)
    const drawn = Float32Array.from({ length: Math.min(length, mostDrawn) }, () => 0.2 * random.normal())
    const values = new Float32Array(length)
    for (let at = 0; at < length; at += drawn.length) values.set(drawn.subarray(0, length - at), at)
    return { name, dtype: 'F32' as const, shape, read: async () => new Uint8Array(values.buffer) }
  })
  const half = tensors.length >> 1
  const shards = [tensors.slice(0, half), tensors.slice(half)]
  const nameOf = (shard: number) => `model-0000${shard + 1}-of-00002.safetensors`
  const weightMap = Object.fromEntries(shards.flatMap((part, shard) => part.map(({ name }) => [name, nameOf(shard)])))
  const common: [string, Buffer][] = [
    ['config.json', Buffer.from(JSON.stringify({ ...smallConfig, intermediate_size: channels }))],
    ['tokenizer.json', Buffer.from(JSON.stringify(byteTokenizer()))],
  ]
  const folder = await mkdtemp(join(tmpdir(), 'espalier-small-'))
  try {
    const write = async (part: typeof tensors): Promise<Buffer> => {
      await writeSafetensors(join(folder, 'part'), part)
      return readFile(join(folder, 'part'))
    }
    const index = Buffer.from(JSON.stringify({ metadata: {}, weight_map: weightMap }))
    const whole = await write(tensors)
    const parts: [string, Buffer][] = []
    for (const [shard, part] of shards.entries()) parts.push([nameOf(shard), await write(part)])
    return {
      single: new Map([...common, ['model.safetensors', whole]]),
      sharded: new Map([...common, ['model.safetensors.index.json', index], ...parts]),
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** A byte-level BPE without merges: a token a byte, in GPT-2's printable stand-ins for bytes. */
export function byteTokenizer() {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173)
  let next = 256
  const vocab = Object.fromEntries(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(printable(byte) ? byte : next++), byte]),
  )
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    ...{ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null as unknown },
    ...{ pre_tokenizer: byteLevel as unknown, post_processor: null, decoder: byteLevel },
    model: {
      ...{ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null as unknown },
      ...{ end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, vocab, merges: [] as unknown[] },
    },
  }
}
