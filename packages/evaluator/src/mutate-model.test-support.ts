import type { RandomGenerator } from '@espalier/pruning'
import { byteTokenizer, type ModelFiles, maxPositions, smallConfig, vocabulary } from './small-model.test-support.js'

/** A model folder made wrong, and what is asked of it. */
export interface Mutation {
  readonly name: string
  readonly files: ModelFiles
  /** Names that become links, each to a path from the folder (or an absolute one). */
  readonly links?: Readonly<Record<string, string>>
  readonly pipes?: readonly string[]
  /** Folder below the scratch folder, to imitate the cache of the hub. */
  readonly subfolder?: string
  readonly request?: Partial<{ ids: number[]; windowLength: number; windows: number; text: string; calibrate: boolean }>
  /** Absent: may be refused or work. */
  readonly expected?: 'works' | 'refused'
}

type Json = Record<string, unknown>
type Source = (models: { single: ModelFiles; sharded: ModelFiles }, random: RandomGenerator) => Mutation

const weightFile = 'model.safetensors'
const indexFile = 'model.safetensors.index.json'

/** How many mutations of each kind make a thousand. */
export const mutationSources: readonly { readonly count: number; readonly mutate: Source }[] = [
  { count: 390, mutate: mutateHeader },
  { count: 60, mutate: mutateBytes },
  { count: 220, mutate: mutateConfig },
  { count: 100, mutate: mutateIndex },
  { count: 60, mutate: mutateLinks },
  { count: 60, mutate: mutateValues },
  { count: 30, mutate: mutateTokenizer },
  { count: 80, mutate: mutateRequest },
]

const pick = <T>(random: RandomGenerator, items: readonly T[]): T => items[random.integer(items.length)] as T

const nested = (depth: number, open = '[', close = ']') => open.repeat(depth) + close.repeat(depth)
/** Stands for JSON text that no value prints: `embed` puts the text in its place. */
const raw = (text: string) => `\u0001raw:${text}\u0001`
const embed = (value: unknown): string =>
  JSON.stringify(value).replace(/"\\u0001raw:(.*?)\\u0001"/g, (_, text: string) => JSON.parse(`"${text}"`))

const hostileValues: readonly unknown[] = [
  ...[null, true, -1, 0, 0.5, 3, 7, 2 ** 31, 2 ** 53, 1e300, '', 'x', '\u0000\ud800', '../x', [], {}, [[]]],
  ...[raw('1e999'), raw('-1e999'), raw(nested(40)), raw(nested(100_000)), raw(nested(20_000, '{"a":', '}'))],
  ...[raw('123456789012345678901234567890'), 'y'.repeat(100_000), Array.from({ length: 5000 }, () => 'z'), 1e-320],
]

function splitSafetensors(bytes: Buffer): { header: Json; data: Buffer } {
  const length = Number(bytes.readBigUInt64LE(0))
  return { header: JSON.parse(bytes.toString('utf8', 8, 8 + length)), data: bytes.subarray(8 + length) }
}

function joinSafetensors(header: string, data: Buffer, length?: bigint): Buffer {
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length ?? BigInt(Buffer.byteLength(header)))
  return Buffer.concat([prefix, Buffer.from(header), data])
}

/** Safetensors headers that lie. */
function mutateHeader({ single }: { single: ModelFiles }, random: RandomGenerator): Mutation {
  const { header, data } = splitSafetensors(single.get(weightFile) ?? Buffer.alloc(0))
  const names = Object.keys(header).filter((name) => name !== '__metadata__')
  const name = pick(random, names)
  const entry = header[name] as { dtype: string; shape: number[]; data_offsets: [number, number] }
  const [begin, end] = entry.data_offsets
  const mutation = (what: string, text: string, expected?: Mutation['expected'], bytes = data, length?: bigint) => ({
    name: `header: ${what}`,
    files: new Map([...single, [weightFile, joinSafetensors(text, bytes, length)]]),
    ...(expected ? { expected } : {}),
  })
  const change = (what: string, part: Json, expected?: Mutation['expected']) =>
    mutation(what, embed({ ...header, [name]: { ...entry, ...part } }), expected)
  const shift = pick(random, [-64, -4, -1, 1, 4, 64, 1e6, 2 ** 53, 1e300])
  const text = JSON.stringify(header)
  return pick<() => Mutation>(random, [
    () => change(`offsets shifted by ${shift}`, { data_offsets: [begin + shift, end + shift] }, 'refused'),
    () => change(`end moved by ${shift}`, { data_offsets: [begin, end + shift] }, 'refused'),
    () => change('offsets that are none', { data_offsets: pick(random, hostileValues) }, 'refused'),
    () => change('an offset that is none', { data_offsets: [pick(random, hostileValues), end] }),
    () =>
      change('a wrong dtype', { dtype: pick(random, ['F64', 'I32', 'F16', 'BF16', 'f32', 'F4', 7, null]) }, 'refused'),
    () => change('a wrong shape', { shape: pick(random, hostileValues) }, 'refused'),
    () => change('a length that is none', { shape: [pick(random, hostileValues), ...entry.shape.slice(1)] }),
    () => change('many dimensions', { shape: [...entry.shape, ...Array.from({ length: 5000 }, () => 1)] }, 'refused'),
    () => change('a product beyond numbers', { shape: [...Array.from({ length: 30 }, () => 2 ** 52), 0] }, 'refused'),
    () => change('shape turned round', { shape: [...entry.shape].reverse() }),
    () => mutation('a name twice', `${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(entry)}}`, 'refused'),
    () => mutation('a name twice, escaped', `${text.slice(0, -1)},"\\u006d${name.slice(1)}":0}`, 'refused'),
    () => mutation('a tensor removed', JSON.stringify({ ...header, [name]: undefined }), 'refused'),
    () => mutation('a tensor renamed', text.replace(`"${name}"`, `"${name}\\u0000\\ud800"`), 'refused'),
    () => mutation('two tensors at one place', JSON.stringify({ ...header, copy: entry }), 'refused'),
    () =>
      mutation('empty tensors', JSON.stringify({ ...header, empty: { ...entry, shape: [0], data_offsets: [0, 0] } })),
    () => mutation('metadata', embed({ ...header, __metadata__: pick(random, hostileValues) })),
    () =>
      mutation(
        'another value',
        embed({ ...header, [pick(random, ['x', '__proto__', name])]: pick(random, hostileValues) }),
      ),
    () => mutation('another top', embed(pick(random, hostileValues)), 'refused'),
    () => mutation('blanks after it', text + ' '.repeat(1 + random.integer(9)), 'works'),
    () =>
      mutation('another order', JSON.stringify(Object.fromEntries(random.shuffle(Object.entries(header)))), 'works'),
    () =>
      mutation('bytes after the data', text, 'refused', Buffer.concat([data, Buffer.alloc(1 + random.integer(99))])),
    () => mutation('data cut', text, 'refused', data.subarray(0, random.integer(data.length))),
    () =>
      mutation('a long length', text, 'refused', data, pick(random, [2n ** 64n - 1n, 2n ** 63n, 10n ** 8n, 99999n])),
    () => mutation('a short length', text, 'refused', data, BigInt(random.integer(text.length - 1))),
  ])()
}

/** Files cut, emptied, or with bits turned. */
function mutateBytes(
  { single, sharded }: { single: ModelFiles; sharded: ModelFiles },
  random: RandomGenerator,
): Mutation {
  const files = new Map(pick(random, [single, sharded]))
  const name = pick(
    random,
    [...files.keys()].filter((file) => file !== 'tokenizer.json'),
  )
  const bytes = Buffer.from(files.get(name) ?? Buffer.alloc(0))
  const what = pick(random, ['cut', 'bits', 'bits', 'removed', 'noise'] as const)
  if (what === 'removed') files.delete(name)
  else if (what === 'cut') files.set(name, bytes.subarray(0, random.integer(bytes.length)))
  else if (what === 'noise') files.set(name, Buffer.from(Array.from({ length: 500 }, () => random.integer(256))))
  else {
    const area = Math.min(bytes.length, 2000)
    for (let turned = 0; turned < 3; turned++) {
      const at = random.integer(area)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(8))
    }
    files.set(name, bytes)
  }
  return { name: `bytes: ${what} ${name}`, files, ...(what === 'bits' ? {} : { expected: 'refused' }) }
}

function mutateConfig({ single }: { single: ModelFiles }, random: RandomGenerator): Mutation {
  const more = ['sliding_window', 'rope_scaling', 'rope_parameters', 'layer_types', 'quantization_config', 'other']
  const field = pick(random, [...Object.keys(smallConfig), ...more])
  const value = pick(random, hostileValues)
  const rope = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
  const text = pick<() => string>(random, [
    () => embed({ ...smallConfig, [field]: value }),
    () => embed({ ...smallConfig, [field]: value }),
    () =>
      embed({ ...smallConfig, rope_scaling: { ...rope, [pick(random, [...Object.keys(rope), 'rope_theta'])]: value } }),
    () => JSON.stringify({ ...smallConfig, [field]: undefined }),
    () => embed(value),
    () => `\ufeff${JSON.stringify(smallConfig)}`,
    () => `${JSON.stringify(smallConfig)}${' '.repeat(5 * 2 ** 20)}`,
  ])()
  return { name: `config: ${field}`, files: new Map([...single, ['config.json', Buffer.from(text)]]) }
}

function mutateIndex({ sharded }: { sharded: ModelFiles }, random: RandomGenerator): Mutation {
  const index = JSON.parse((sharded.get(indexFile) ?? '{}').toString()) as { weight_map: Record<string, string> }
  const [tensor, shard] = pick(random, Object.entries(index.weight_map))
  const other = Object.values(index.weight_map).find((file) => file !== shard)
  const outside = [
    '../outside/model.safetensors',
    '/etc/passwd',
    '..',
    '',
    '.',
    'a/../../b.safetensors',
    '\u0000.safetensors',
  ]
  const map = (change: Json) => embed({ weight_map: { ...index.weight_map, ...change } })
  const [what, text] = pick<() => [string, string]>(random, [
    () => [
      'a shard outside',
      map({ [tensor]: pick(random, [...outside, '..\\model.safetensors', 'C:\\x.safetensors']) }),
    ],
    () => ['a shard that is not there', map({ [tensor]: 'model-9.safetensors' })],
    () => ['the wrong shard', map({ [tensor]: other })],
    () => [
      'a shard that is no text',
      map({
        [tensor]: pick(
          random,
          hostileValues.filter((value) => value !== undefined),
        ),
      }),
    ],
    () => ['a tensor that is not there', map({ [`${tensor}\u0000`]: shard })],
    () => ['a tensor left out', map({ [tensor]: undefined })],
    () => ['a name twice', map({}).replace('{"weight_map":{', `{"weight_map":{${JSON.stringify(tensor)}:"x",`)],
    () => ['another top', embed(pick(random, hostileValues))],
    () => ['another map', embed({ weight_map: pick(random, hostileValues) })],
  ])()
  return { name: `index: ${what}`, files: new Map([...sharded, [indexFile, Buffer.from(text)]]), expected: 'refused' }
}

/** The folder `outside` beside the model's holds a whole model: what works with a link to it has read outside. */
function mutateLinks(
  { single, sharded }: { single: ModelFiles; sharded: ModelFiles },
  random: RandomGenerator,
): Mutation {
  const source = pick(random, [single, sharded])
  const name = pick(random, [...source.keys()])
  const without = new Map([...source].filter(([file]) => file !== name))
  const request = name === 'tokenizer.json' ? { text: 'some text of more than sixteen bytes' } : {}
  const to = (what: string, target: string): Mutation => ({
    name: `link: ${name} to ${what}`,
    ...{ files: without, links: { [name]: target }, request, expected: 'refused' },
  })
  const content = source.get(name) ?? Buffer.alloc(0)
  const blob = `../../blobs/${name}`
  return pick<() => Mutation>(random, [
    () => to('a file outside', `../outside/${name}`),
    () => ({ ...to('a link outside', 'hop'), links: { [name]: 'hop', hop: `../outside/${name}` } }),
    () => to('a folder', '..'),
    () => to('itself', name),
    () => to('nothing', 'nothing'),
    () => to('endless zeros', '/dev/zero'),
    () => ({ ...to('a pipe', ''), links: {}, pipes: [name] }),
    () => ({
      ...to('a file inside', 'real.bin'),
      files: new Map([...without, ['real.bin', content]]),
      expected: 'works',
    }),
    () => ({
      ...to('a blob of the hub', blob),
      ...{ subfolder: 'models--org--small/snapshots/0123', expected: 'works' },
      files: new Map([...without, [blob, content]]),
    }),
  ])()
}

/** NaN and infinities among the weights. */
function mutateValues({ single }: { single: ModelFiles }, random: RandomGenerator): Mutation {
  const { header, data } = splitSafetensors(single.get(weightFile) ?? Buffer.alloc(0))
  const [name, entry] = pick(
    random,
    Object.entries(header).filter(([key]) => key !== '__metadata__'),
  )
  const [begin, end] = (entry as { data_offsets: [number, number] }).data_offsets
  const changed = Buffer.from(data)
  const value = pick(random, [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
  // The first row: for the embedding that of token 0, which the ids contain.
  changed.writeFloatLE(value, begin + 4 * random.integer(Math.min(16, (end - begin) / 4)))
  return {
    name: `values: ${value} in ${name}`,
    files: new Map([...single, [weightFile, joinSafetensors(JSON.stringify(header), changed)]]),
    request: { calibrate: random.integer(2) === 0 },
    expected: 'refused',
  }
}

function mutateTokenizer({ single }: { single: ModelFiles }, random: RandomGenerator): Mutation {
  const base = byteTokenizer()
  const text = `${'abc '.repeat(10)}${'a'.repeat(40)}b`
  const model = (change: Json) => ({ ...base, model: { ...base.model, ...change } })
  const unigram = (vocab: unknown[], unk: number | null) => ({ type: 'Unigram', unk_id: unk, vocab })
  const split = (pattern: string) => ({
    type: 'Split',
    pattern: { Regex: pattern },
    behavior: 'Isolated',
    invert: false,
  })
  const [what, json] = pick<() => [string, unknown]>(random, [
    () => ['no tokenizer', null],
    () => [
      'a value',
      {
        ...base,
        [pick(random, ['model', 'normalizer', 'pre_tokenizer', 'added_tokens'])]: pick(random, hostileValues),
      },
    ],
    () => [
      'larger than the model',
      model({
        vocab: { ...base.model.vocab, abc: vocabulary + random.integer(99), ab: 256 },
        merges: [
          ['a', 'b'],
          ['ab', 'c'],
        ],
      }),
    ],
    () => ['merges of nothing', model({ merges: [['no', 'such']] })],
    () => [
      'a prefix longer than tokens',
      model({ vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']], continuing_subword_prefix: 'xxxx' }),
    ],
    () => ['no vocabulary', model({ vocab: {} })],
    () => ['ids beyond 32 bits', model({ vocab: { ...base.model.vocab, zz: 2 ** 40 } })],
    () => ['an unknown unknown', { ...base, pre_tokenizer: null, model: unigram([['a', -1]], null) }],
    () => ['pieces of no length', { ...base, pre_tokenizer: { type: 'FixedLength', length: 0 } }],
    () => ['a slow expression', { ...base, pre_tokenizer: split('(a+)+$') }],
    () => ['a broken expression', { ...base, pre_tokenizer: split('((') }],
    () => [
      'a replacement of nothing',
      { ...base, normalizer: { type: 'Replace', pattern: { String: '' }, content: 'x' } },
    ],
    () => ['a broken table', { ...base, normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }],
  ])()
  const files = new Map(single)
  if (json === null) files.delete('tokenizer.json')
  else files.set('tokenizer.json', Buffer.from(embed(json)))
  return { name: `tokenizer: ${what}`, files, request: { text } }
}

/** Windows and ids that the model does not have. */
function mutateRequest({ single }: { single: ModelFiles }, random: RandomGenerator): Mutation {
  const long = Array.from({ length: 4 * maxPositions }, (_, at) => at % vocabulary)
  const outside = long.with(random.integer(long.length), pick(random, [vocabulary, -1, 2 ** 31 - 1]))
  const [what, request] = pick<() => [string, Mutation['request']]>(random, [
    () => [
      'a window over max positions',
      { ids: long, windowLength: maxPositions + 1 + random.integer(99), windows: 1 },
    ],
    () => ['a window of nothing', { windowLength: pick(random, [0, 1, -1, 0.5, 1e300]) }],
    () => ['no windows', { windows: pick(random, [0, -1, 1e9, 1.5]) }],
    () => ['an id outside', { ids: outside, windows: 4, windowLength: 64 }],
    () => ['no ids', { ids: [] }],
  ])()
  return { name: `request: ${what}`, files: single, ...(request ? { request } : {}), expected: 'refused' }
}
