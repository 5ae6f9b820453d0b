import { companionFiles, EspalierError } from '@espalier/contracts'
import { isSafeRelativePath } from './parse-model-source.js'

/** Everything Espalier reads of a model, or copies beside a pruned one, but its weights. */
const smallFiles: ReadonlySet<string> = new Set(['config.json', ...companionFiles])

export const singleWeightFile = 'model.safetensors'
export const weightIndexFile = 'model.safetensors.index.json'

const shardPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$/
/** Formats whose readers unpickle, that is execute what the file says. */
const picklePattern = /\.(bin|pt|pth|pkl|pickle|ckpt)$/i
const maxShards = 10_000

export interface ModelFileChoice {
  readonly companions: readonly string[]
  /** The one weight file, or the index that names the shards. */
  readonly weights: typeof singleWeightFile | typeof weightIndexFile
}

/** Whether a file of this name, at the root of a model, is one that Espalier reads. */
export function isModelFile(name: string): boolean {
  return smallFiles.has(name) || name === weightIndexFile || shardPattern.test(name)
}

/**
 * What to download of a repository: configuration, tokenizer and safetensors (the order of transformers: one file,
 * else shards). Never pickled weights, never code.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_WEIGHTS_UNSAFE
 */
export function chooseModelFiles(names: readonly string[], where: string): ModelFileChoice {
  const found = new Set(names)
  if (!found.has('config.json')) {
    throw new EspalierError('MODEL_UNREADABLE', `${where}: expected config.json at its root, found ${list(names)}`, {
      source: where,
      expected: 'config.json',
    })
  }
  const weights = [singleWeightFile, weightIndexFile].find((name) => found.has(name))
  if (weights === undefined) throw refuseWithoutWeights(names, where)
  return {
    companions: names.filter((name) => smallFiles.has(name)),
    weights: weights === singleWeightFile ? singleWeightFile : weightIndexFile,
  }
}

function refuseWithoutWeights(names: readonly string[], where: string): EspalierError {
  const pickled = names.filter((name) => picklePattern.test(name))
  if (pickled.length === 0 || names.some((name) => name.endsWith('.safetensors'))) {
    return new EspalierError(
      'MODEL_UNREADABLE',
      `${where}: expected ${singleWeightFile} or ${weightIndexFile} at its root, found ${list(names)}`,
      { source: where, expected: [singleWeightFile, weightIndexFile] },
    )
  }
  return new EspalierError(
    'MODEL_WEIGHTS_UNSAFE',
    `${where}: its weights are pickled (${list(pickled)}), and reading a pickle can execute code, so it is refused. ` +
      'Take a revision that has safetensors (often @refs/pr/N, made by the converter of the hub), or convert it once ' +
      'where you trust it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder, safe_serialization=True), ' +
      'and give that folder',
    { source: where, files: pickled.slice(0, 20), expected: 'safetensors' },
  )
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 6).join(', ')
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown || 'nothing'
}

/**
 * The shards that an index names.
 *
 * @throws EspalierError MODEL_FILE_INVALID when it is no index, or names files that are not plain safetensors
 */
export function parseShardNames(text: string, where: string): readonly string[] {
  const shards = [...new Set(Object.values(parseWeightMap(text, where)))].sort()
  const bad = shards.find(
    (shard) => typeof shard !== 'string' || !shardPattern.test(shard) || !isSafeRelativePath(shard),
  )
  if (bad === undefined && shards.length > 0 && shards.length <= maxShards) return shards.map(String)
  const expected = `1 to ${maxShards} names like model-00001-of-00002.safetensors, without folders`
  const found = bad === undefined ? `${shards.length} names` : JSON.stringify(bad)
  throw new EspalierError('MODEL_FILE_INVALID', `${where}: expected ${expected}, found ${found}`, {
    file: where,
    expected,
    found,
  })
}

function parseWeightMap(text: string, where: string): object {
  const expected = 'JSON with weight_map: file name by tensor name'
  try {
    const json: unknown = JSON.parse(text)
    const hasMap = typeof json === 'object' && json !== null && 'weight_map' in json
    if (hasMap && typeof json.weight_map === 'object' && json.weight_map !== null) return json.weight_map
  } catch {}
  throw new EspalierError('MODEL_FILE_INVALID', `${where}: expected ${expected}, found something else`, {
    file: where,
    expected,
  })
}
