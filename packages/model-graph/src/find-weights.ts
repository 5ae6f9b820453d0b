import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { EspalierError, showValue } from '@espalier/contracts'
import { openSafetensors, type SafetensorsTensor } from '@espalier/tensor-files'
import { z } from 'zod'
import { findModelFile } from './find-model-file.js'
import { readJson } from './parse-model-config.js'

const singleFileName = 'model.safetensors'
const indexFileName = 'model.safetensors.index.json'
const maxIndexBytes = 100 * 2 ** 20
const maxShards = 10_000

/** A plain file name: a shard may not point out of the model folder. */
const shardName = /^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) })

export interface StoredTensor extends SafetensorsTensor {
  /** Absolute path. */
  readonly file: string
}

export interface StoredWeights {
  /** Absolute paths, sorted. */
  readonly files: readonly string[]
  /** The file that says where tensors are: the index, or the only weight file. */
  readonly listedIn: string
  readonly tensors: ReadonlyMap<string, StoredTensor>
}

/**
 * Finds the weights of a model folder: `model.safetensors`, else the shards of `model.safetensors.index.json`
 * (the order of transformers). Every header is read and checked; every tensor of the index must be in its shard.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_INVALID, MODEL_FILE_TRUNCATED, MODEL_TENSOR_MISSING
 */
export async function findWeights(directory: string): Promise<StoredWeights> {
  const single = await findModelFile(directory, singleFileName)
  if (single !== null) {
    return { files: [single], listedIn: single, tensors: await readTensors(single) }
  }
  const index = await findModelFile(directory, indexFileName)
  if (index !== null) return findShards(directory, index)
  throw new EspalierError(
    'MODEL_UNREADABLE',
    `${directory}: expected ${singleFileName} or ${indexFileName}, found ${(await listWeightLike(directory)) || 'neither'}`,
    { file: directory, expected: [singleFileName, indexFileName], found: null },
  )
}

async function listWeightLike(directory: string): Promise<string> {
  const names = await readdir(directory)
  return names.filter((name) => /\.(bin|pt|pth|gguf|h5|safetensors)$/.test(name)).join(', ')
}

async function readTensors(file: string): Promise<Map<string, StoredTensor>> {
  const opened = await openSafetensors(file)
  await opened.close()
  return new Map([...opened.tensors].map(([name, tensor]) => [name, { ...tensor, file }]))
}

async function findShards(directory: string, index: string): Promise<StoredWeights> {
  const json = await readJson(index, maxIndexBytes, 'MODEL_FILE_INVALID', { uniqueNames: true })
  const weightMap = parseWeightMap(index, json)
  const shards = [...new Set(Object.values(weightMap))].sort()
  refuseShardNames(index, shards)
  const byShard = new Map<string, Map<string, StoredTensor>>()
  for (const shard of shards) byShard.set(shard, await readTensors(await getShard(directory, shard)))
  const tensors = new Map<string, StoredTensor>()
  for (const [name, shard] of Object.entries(weightMap)) {
    const tensor = byShard.get(shard)?.get(name)
    if (!tensor) throw missingTensor(join(directory, shard), name, `as ${indexFileName} says`)
    tensors.set(name, tensor)
  }
  return { files: shards.map((shard) => join(directory, shard)), listedIn: index, tensors }
}

async function getShard(directory: string, shard: string): Promise<string> {
  const path = await findModelFile(directory, shard)
  if (path !== null) return path
  const message = `${directory}: expected the shard ${shard} (as ${indexFileName} says), found none`
  throw new EspalierError('MODEL_UNREADABLE', message, { file: join(directory, shard), expected: shard, found: null })
}

function parseWeightMap(index: string, json: unknown): Record<string, string> {
  const parsed = indexSchema.safeParse(json)
  if (parsed.success) return parsed.data.weight_map
  const expected = 'weight_map: file name by tensor name'
  const found = parsed.error.issues[0]?.message ?? 'something else'
  throw new EspalierError('MODEL_FILE_INVALID', `${index}: expected ${expected}, found: ${found}`, {
    file: index,
    expected,
    found,
  })
}

function refuseShardNames(index: string, shards: readonly string[]): void {
  const expected = `1 to ${maxShards} names like model-00001-of-00002.safetensors, without folders`
  const bad = shards.find((shard) => !shardName.test(shard) || basename(shard) !== shard)
  if (bad === undefined && shards.length >= 1 && shards.length <= maxShards) return
  const found = bad === undefined ? `${shards.length} names` : showValue(bad)
  throw new EspalierError('MODEL_FILE_INVALID', `${index}: expected ${expected}, found ${found}`, {
    file: index,
    expected,
    found,
  })
}

export function missingTensor(file: string, name: string, why: string): EspalierError {
  const tensor = showValue(name)
  return new EspalierError('MODEL_TENSOR_MISSING', `${file}: expected tensor ${tensor} (${why}), found none`, {
    file,
    tensor,
    expected: tensor,
    found: null,
  })
}
