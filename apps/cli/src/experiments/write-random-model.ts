import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RandomShape } from '@espalier/experiments'
import { createRandomGenerator, type RandomGenerator } from '@espalier/pruning'
import { type SafetensorsEntry, writeSafetensors } from '@espalier/tensor-files'

const VOCABULARY = 512
const POSITIONS = 1024
/** Weights are uniform between minus and plus this. */
const REACH = 0.05

/** Writes a Llama with random weights: for times, which do not depend on what the weights are. */
export async function writeRandomModel(directory: string, shape: RandomShape): Promise<void> {
  const { layers, hiddenSize, heads, kvHeads, ffnChannels } = shape
  const config = {
    architectures: ['LlamaForCausalLM'],
    ...{ model_type: 'llama', hidden_act: 'silu', hidden_size: hiddenSize, intermediate_size: ffnChannels },
    ...{ num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads },
    ...{ head_dim: hiddenSize / heads, max_position_embeddings: POSITIONS, vocab_size: VOCABULARY },
    ...{ rms_norm_eps: 1e-5, rope_theta: 10_000, tie_word_embeddings: true, attention_bias: false, mlp_bias: false },
    dtype: 'float32',
  }
  await writeFile(join(directory, 'config.json'), JSON.stringify(config))
  const random = createRandomGenerator(1, 'random-model', heads)
  const weight = (name: string, ...sizes: number[]) => entry(name, sizes, () => REACH * (2 * random.uniform() - 1))
  const norm = (name: string) => entry(name, [hiddenSize], () => 1)
  const kv = (kvHeads * hiddenSize) / heads
  const ofLayer = (layer: number) => {
    const named = (name: string) => `model.layers.${layer}.${name}.weight`
    return [
      norm(named('input_layernorm')),
      norm(named('post_attention_layernorm')),
      weight(named('self_attn.q_proj'), hiddenSize, hiddenSize),
      weight(named('self_attn.k_proj'), kv, hiddenSize),
      weight(named('self_attn.v_proj'), kv, hiddenSize),
      weight(named('self_attn.o_proj'), hiddenSize, hiddenSize),
      weight(named('mlp.gate_proj'), ffnChannels, hiddenSize),
      weight(named('mlp.up_proj'), ffnChannels, hiddenSize),
      weight(named('mlp.down_proj'), hiddenSize, ffnChannels),
    ]
  }
  await writeSafetensors(join(directory, 'model.safetensors'), [
    weight('model.embed_tokens.weight', VOCABULARY, hiddenSize),
    norm('model.norm.weight'),
    ...Array.from({ length: layers }, (_, layer) => ofLayer(layer)).flat(),
  ])
}

function entry(name: string, shape: readonly number[], value: () => number): SafetensorsEntry {
  const length = shape.reduce((product, size) => product * size, 1)
  return { name, dtype: 'F32', shape, read: () => new Uint8Array(Float32Array.from({ length }, value).buffer) }
}

/** Tokens for models that have no text. */
export function drawTokens(length: number, vocabulary: number, random: RandomGenerator): Int32Array {
  return Int32Array.from({ length }, () => random.integer(vocabulary))
}
