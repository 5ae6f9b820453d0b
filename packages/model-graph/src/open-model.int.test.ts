import { createHash } from 'node:crypto'
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openSafetensors, type SafetensorsEntry, writeSafetensors } from '@espalier/tensor-files'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { hashModel } from './hash-model.js'
import { loadTokenizer } from './load-tokenizer.js'
import { openModel } from './open-model.js'

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
const demo = fileURLToPath(new URL('../../../models/demo/', import.meta.url))
const fixture = (name: string) => join(fixtures, 'models', name)

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'espalier-model-'))
})
afterAll(() => rm(scratch, { recursive: true }))

/** A copy of a fixture, its config.json changed. */
async function changed(name: string, change: Record<string, unknown> = {}): Promise<string> {
  const directory = await mkdtemp(join(scratch, `${name}-`))
  await cp(fixture(name), directory, { recursive: true })
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'))
  await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, ...change }))
  return directory
}

/** A copy of a fixture, its tensors changed. */
async function withTensors(
  name: string,
  change: (tensor: SafetensorsEntry) => SafetensorsEntry | SafetensorsEntry[] | null,
): Promise<string> {
  const directory = await changed(name)
  const file = await openSafetensors(join(fixture(name), 'model.safetensors'))
  const tensors = [...file.tensors.values()].flatMap(
    (tensor) => change({ ...tensor, read: () => file.readTensor(tensor.name) }) ?? [],
  )
  await writeSafetensors(join(directory, 'model.safetensors'), tensors)
  await file.close()
  return directory
}

describe('openModel', () => {
  it('reads grouped-query attention, tied embeddings and biases from shapes and config', async () => {
    const tied = await openModel(fixture('llama-tied'))
    expect(tied.shape).toMatchObject({ architecture: 'llama', queryHeads: 4, kvHeads: 2, headDim: 16, layers: 3 })
    expect(tied.outputHead).toBe(tied.embedding)
    // 512 x 64 embedding + 3 layers of (2 x 64 norms + (4 + 2 + 2 + 4) x 16 x 64 + 3 x 96 x 64) + 64
    expect(tied.shape.parameters).toBe(125_376)
    expect(tied.shape.weightBytes).toBe(4 * 125_376)
    const qwen2 = await openModel(fixture('qwen2'))
    expect(qwen2.layers[2]).toMatchObject({
      qBias: { shape: [64] },
      kBias: { shape: [32] },
      oBias: null,
      downBias: null,
    })
    const qwen3 = await openModel(fixture('qwen3'))
    expect(qwen3.layers[0]).toMatchObject({ qNorm: { shape: [32] }, q: { shape: [128, 64] }, qBias: null })
    expect(qwen3.config.qkNorm).toBe(true)
  })

  it('reads shards, bfloat16, biases of every projection and the older dialect of config.json', async () => {
    const model = await openModel(fixture('llama-biases'))
    expect(model.weightFiles).toHaveLength(3)
    expect(Object.values(model.layers[1] ?? {}).filter((tensor) => tensor === null)).toHaveLength(4)
    expect(model.layers[0]?.downBias).toMatchObject({ dtype: 'BF16', shape: [64] })
    expect(model.shape).toMatchObject({ kvHeads: 4, headDim: 16 })
    const newer = await openModel(fixture('llama-rope3'))
    expect(model.config.attention).toEqual(newer.config.attention)
  })

  it('scales rotary frequencies as Llama 3.1 does', async () => {
    const ropeOf = async (directory: string) => (await openModel(directory)).config.attention[0]?.rope
    const rope = await ropeOf(fixture('llama-rope3'))
    const plain = await ropeOf(await changed('llama-rope3', { rope_parameters: { rope_theta: 5e5 } }))
    // Context 64, low 1, high 4, factor 8: wavelengths 2 pi 5e5^(i/8) are 6.3, 32.4, 167, ... ; from 64 on divided.
    const ratio = Array.from(rope?.inverseFrequencies ?? [], (f, i) => f / (plain?.inverseFrequencies[i] ?? 0))
    const smooth = (64 / (2 * Math.PI * 5e5 ** (1 / 8)) - 1) / 3
    expect(ratio[0]).toBe(1)
    expect(ratio[1]).toBeCloseTo((1 - smooth) / 8 + smooth, 6)
    for (const r of ratio.slice(2)) expect(r).toBeCloseTo(1 / 8, 12)
  })

  it.each([
    ['mistral', { sliding_window: 16 }, [16, 16, 16]],
    ['mistral', { sliding_window: null }, [null, null, null]],
    ['mistral', { sliding_window: undefined }, [4096, 4096, 4096]],
    ['qwen2', { use_sliding_window: false, sliding_window: 8 }, [null, null, null]],
    ['qwen2', { use_sliding_window: true, sliding_window: 8, layer_types: null, max_window_layers: 1 }, [null, 8, 8]],
    ['qwen3', { use_sliding_window: true, layer_types: null, max_window_layers: 3 }, [null, null, null]],
    ['phi3', { sliding_window: undefined }, [null, null, null]],
    ['gemma2', { sliding_window: undefined, layer_types: undefined }, [4096, null, 4096, null]],
    ['gemma3', { layer_types: null }, [16, 16, 16, 16, 16, null, 16]],
  ])('reads the sliding windows of %s %j', async (name, change, windows) => {
    const { config, shape } = await openModel(await changed(name, change))
    expect(config.attention.map(({ window }) => window)).toEqual(windows)
    expect(shape.slidingWindow).toBe(windows.find((window) => window !== null) ?? null)
  })

  it('finds q, k and v, and gate and up, as rows of one stored tensor', async () => {
    const { layers, shape } = await openModel(fixture('phi3'))
    const file = await openSafetensors(join(fixture('phi3'), 'model.safetensors'))
    const stored = file.tensors.get('model.layers.2.self_attn.qkv_proj.weight')
    await file.close()
    expect(layers[2]?.v).toMatchObject({
      name: 'model.layers.2.self_attn.v_proj.weight',
      shape: [32, 64],
      offset: (stored?.offset ?? 0) + 4 * 64 * (64 + 32),
      bytes: 4 * 64 * 32,
      rowsOf: { name: 'model.layers.2.self_attn.qkv_proj.weight', firstRow: 96 },
    })
    expect(layers[0]?.up.rowsOf).toEqual({ name: 'model.layers.0.mlp.gate_up_proj.weight', firstRow: 96 })
    // 2 x 512 x 64 embedding and head + 3 layers of (2 x 64 norms + 12 x 16 x 64 + 3 x 96 x 64) + 64
    expect(shape.parameters).toBe(158_144)
  })

  it.each([
    ['gemma2', 'use_bidirectional_attention', { use_bidirectional_attention: true }],
    ['gemma2', 'hidden_activation', { hidden_activation: 'gelu' }],
    [
      'gemma2',
      'layer_types',
      { layer_types: ['full_attention', 'chunked_attention', 'full_attention', 'full_attention'] },
    ],
    ['phi3', 'rope_scaling.rope_type', { rope_scaling: { type: 'longrope' } }],
    ['phi3', 'partial_rotary_factor', { rope_parameters: { partial_rotary_factor: 0.75 } }],
  ])('refuses of %s what %s says', async (name, field, change) => {
    await expect(openModel(await changed(name, change))).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED_ARCHITECTURE',
      details: { field },
    })
  })

  it('reads the same float32 values from float16 as the format says', async () => {
    const model = await openModel(demo)
    const values = await model.readFloat32(model.finalNorm)
    const bytes = (await readFile(join(demo, 'model.safetensors'))).subarray(model.finalNorm.offset)
    const half = bytes.readUInt16LE(0)
    expect(values).toHaveLength(192)
    expect(values[0]).toBe((1 + (half & 0x3ff) / 1024) * 2 ** (((half >> 10) & 31) - 15) * (half & 0x8000 ? -1 : 1))
  })

  it.each([
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'model_type', { model_type: 'gpt2', hidden_size: undefined }],
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'architectures', { architectures: ['LlamaForSequenceClassification'] }],
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'hidden_act', { hidden_act: 'gelu' }],
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'quantization_config', { quantization_config: { quant_method: 'gptq' } }],
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'rope_scaling.rope_type', { rope_scaling: { type: 'yarn', factor: 4 } }],
    ['MODEL_UNSUPPORTED_ARCHITECTURE', 'partial_rotary_factor', { partial_rotary_factor: 0.5 }],
    ['MODEL_CONFIG_INVALID', 'rope_scaling.factor', { rope_scaling: { rope_type: 'llama3' } }],
    ['MODEL_CONFIG_INVALID', 'hidden_size', { hidden_size: '64' }],
    ['MODEL_CONFIG_INVALID', 'num_hidden_layers', { num_hidden_layers: 1e9 }],
    ['MODEL_CONFIG_INVALID', 'num_key_value_heads', { num_key_value_heads: 3 }],
    ['MODEL_CONFIG_INVALID', 'head_dim', { head_dim: 15 }],
  ])('refuses with %s at %s', async (code, field, change) => {
    const opened = openModel(await changed('llama-gqa', change))
    await expect(opened).rejects.toMatchObject({ code, details: { file: 'config.json', field } })
  })

  it('names file, tensor, expected and found when a tensor is not as config.json says', async () => {
    const key = 'model.layers.1.self_attn.k_proj.weight'
    const wrong = await changed('llama-gqa', { num_key_value_heads: 4 })
    await expect(openModel(wrong)).rejects.toMatchObject({
      code: 'MODEL_TENSOR_INVALID',
      details: {
        file: join(wrong, 'model.safetensors'),
        tensor: 'model.layers.0.self_attn.k_proj.weight',
        expected: 'shape [64, 64]',
        found: '[32, 64]',
      },
    })
    const missing = await withTensors('llama-gqa', (tensor) => (tensor.name === key ? null : tensor))
    await expect(openModel(missing)).rejects.toMatchObject({ code: 'MODEL_TENSOR_MISSING', details: { tensor: key } })
    const integers = await withTensors('llama-gqa', (tensor) =>
      tensor.name === key ? { ...tensor, dtype: 'I32' } : tensor,
    )
    await expect(openModel(integers)).rejects.toMatchObject({ code: 'MODEL_TENSOR_INVALID', details: { found: 'I32' } })
  })

  it('accepts a tied model that carries the same matrix twice, and refuses another one', async () => {
    const copyOf = (fill?: number) => (tensor: SafetensorsEntry) =>
      tensor.name === 'model.embed_tokens.weight'
        ? [
            tensor,
            {
              ...tensor,
              name: 'lm_head.weight',
              ...(fill === undefined ? {} : { read: () => new Uint8Array(512 * 64 * 4) }),
            },
          ]
        : tensor
    expect((await openModel(await withTensors('llama-tied', copyOf()))).shape.parameters).toBe(125_376)
    await expect(openModel(await withTensors('llama-tied', copyOf(0)))).rejects.toMatchObject({
      code: 'MODEL_TENSOR_INVALID',
      details: { tensor: 'lm_head.weight' },
    })
  })

  it('refuses missing, truncated and malformed files', async () => {
    await expect(openModel(join(scratch, 'none'))).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    const withoutConfig = await changed('llama-gqa')
    await rm(join(withoutConfig, 'config.json'))
    await expect(openModel(withoutConfig)).rejects.toMatchObject({ code: 'MODEL_UNREADABLE' })
    await writeFile(join(withoutConfig, 'config.json'), '{"model_type": "llama",')
    await expect(openModel(withoutConfig)).rejects.toMatchObject({ code: 'MODEL_CONFIG_INVALID' })
    await writeFile(join(withoutConfig, 'config.json'), '[]')
    await expect(openModel(withoutConfig)).rejects.toMatchObject({ code: 'MODEL_CONFIG_INVALID' })
    const cut = await changed('llama-gqa')
    await truncate(join(cut, 'model.safetensors'), 500_000)
    await expect(openModel(cut)).rejects.toMatchObject({ code: 'MODEL_FILE_TRUNCATED', details: { found: 500_000 } })
    const bare = await changed('llama-gqa')
    await rm(join(bare, 'model.safetensors'))
    await writeFile(join(bare, 'pytorch_model.bin'), '')
    await expect(openModel(bare)).rejects.toMatchObject({
      code: 'MODEL_UNREADABLE',
      message: expect.stringContaining('pytorch_model.bin'),
    })
  })

  it.each([['../model.safetensors'], ['/etc/model.safetensors'], ['a/b.safetensors'], ['..safetensors'], ['']])(
    'refuses the shard name %j',
    async (shard) => {
      const directory = await changed('llama-biases')
      const index = join(directory, 'model.safetensors.index.json')
      await writeFile(index, JSON.stringify({ weight_map: { 'model.norm.weight': shard } }))
      await expect(openModel(directory)).rejects.toMatchObject({
        code: 'MODEL_FILE_INVALID',
        details: { file: index, found: shard },
      })
    },
  )

  it('refuses an index that names a missing shard, or a tensor that its shard lacks', async () => {
    const directory = await changed('llama-biases')
    const index = join(directory, 'model.safetensors.index.json')
    const json = JSON.parse(await readFile(index, 'utf8'))
    const name = 'model.norm.weight'
    const other = Object.values(json.weight_map).find((shard) => shard !== json.weight_map[name])
    await writeFile(index, JSON.stringify({ weight_map: { ...json.weight_map, [name]: other } }))
    await expect(openModel(directory)).rejects.toMatchObject({
      code: 'MODEL_TENSOR_MISSING',
      details: { tensor: name },
    })
    await rm(join(directory, json.weight_map[name]))
    await writeFile(index, JSON.stringify(json))
    await expect(openModel(directory)).rejects.toMatchObject({ code: 'MODEL_UNREADABLE' })
  })
})

describe('hashModel', () => {
  it('follows contents, not places', async () => {
    const hash = async (directory: string) => hashModel(await openModel(directory))
    const original = await hash(fixture('llama-biases'))
    expect(original).toMatch(/^[0-9a-f]{64}$/)
    const copy = await mkdtemp(join(scratch, 'copy-'))
    await cp(fixture('llama-biases'), copy, { recursive: true })
    expect(await hash(copy)).toBe(original)
    const shard = join(copy, 'model-00002-of-00003.safetensors')
    const bytes = await readFile(shard)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
    await writeFile(shard, bytes)
    expect(await hash(copy)).not.toBe(original)
  })
})

describe('loadTokenizer', () => {
  it('gives the token ids of the Hugging Face library', async () => {
    const reference = JSON.parse(await readFile(join(fixtures, 'reference', 'demo.json'), 'utf8'))
    const tokenizer = await loadTokenizer(demo)
    expect(tokenizer.vocabularySize).toBe(2048)
    for (const split of ['calibration', 'validation', 'test']) {
      const ids = await tokenizer.encode(await readFile(join(demo, 'texts', `${split}.txt`), 'utf8'))
      const sha256 = createHash('sha256')
        .update(JSON.stringify([...ids]))
        .digest('hex')
      expect({ count: ids.length, sha256 }).toEqual({
        count: reference.tokens[split].count,
        sha256: reference.tokens[split].sha256OfJson,
      })
    }
  })

  it('ignores truncation and special tokens that tokenizer.json asks for', async () => {
    const directory = await mkdtemp(join(scratch, 'tokenizer-'))
    const json = JSON.parse(await readFile(join(demo, 'tokenizer.json'), 'utf8'))
    const truncation = { direction: 'Right', max_length: 4, strategy: 'LongestFirst', stride: 0 }
    await writeFile(join(directory, 'tokenizer.json'), JSON.stringify({ ...json, truncation }))
    const text = 'In the beginning God created the heaven and the earth. '.repeat(5)
    const plain = await loadTokenizer(demo)
    expect(await (await loadTokenizer(directory)).encode(text)).toEqual(await plain.encode(text))
  })

  it('says when there is none and when it is not one', async () => {
    await expect(loadTokenizer(fixture('qwen2'))).rejects.toMatchObject({ code: 'MODEL_TOKENIZER_MISSING' })
    const directory = await changed('qwen2')
    await writeFile(join(directory, 'tokenizer.json'), '{"model": {}}')
    await expect(loadTokenizer(directory)).rejects.toMatchObject({ code: 'MODEL_TOKENIZER_INVALID' })
  })
})
