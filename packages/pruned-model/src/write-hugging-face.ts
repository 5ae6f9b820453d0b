import { mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import {
  encodeFloats,
  type FloatDtype,
  isFloatDtype,
  openSafetensors,
  type SafetensorsEntry,
  sizeOfEntry,
  type WrittenFile,
  writeSafetensors,
} from '@espalier/tensor-files'
import { type BiasPlan, type PlannedBias, planBiases } from './plan-biases.js'
import { type FittedColumns, type ModuleCompensation, planCompensation } from './plan-compensation.js'
import { countParameters, planKeptTensors, planStoredSelections } from './plan-selections.js'
import { isCompensated, type PrunedFile, type PrunedModel, type PruningRequest } from './pruning-request.js'
import { type Selection, zeroRemoved } from './select-elements.js'
import { setConfigFlags } from './set-config-flags.js'
import { copyCompanions, writeBytes, writeDescription } from './write-companions.js'

const configFileName = 'config.json'
const indexFileName = 'model.safetensors.index.json'

/**
 * Writes a pruned model in Hugging Face format: the files, shapes and precision of the original, with zeros for every
 * weight of a removed unit, so that any loader of the original loads it. Compensation becomes biases of o_proj and
 * down_proj where config.json of the architecture can announce them, and least squares new columns of these; else it is
 * left out, and the result says so.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED
 */
export async function writeHuggingFace(request: PruningRequest): Promise<PrunedModel> {
  const { model, directory, keptIndices } = request
  await mkdir(directory, { recursive: true })
  const plan = planBiases(request)
  const compensationWritten = isCompensated(request) && plan.note === null
  const compensation = compensationWritten ? planCompensation(request) : []
  const added = compensation.map(() => ({ shape: [model.shape.hiddenSize] }))
  const summary = {
    parameters: countParameters([...planKeptTensors(model, keptIndices), ...added]),
    compensationWritten,
    note: plan.note,
  }
  const config = setConfigFlags(await readFile(join(model.directory, configFileName), 'utf8'), plan.flags)
  const files = [
    ...(await writeWeights(request, plan, compensation)),
    await writeBytes(directory, configFileName, new TextEncoder().encode(config)),
    ...(await copyCompanions(model.directory, directory)),
    ...(await writeDescription(request, 'huggingface', summary)),
  ]
  return { ...summary, files }
}

/** Writes one file for each of the model's, and an index when there are several. */
async function writeWeights(
  { model, keptIndices, directory }: PruningRequest,
  plan: BiasPlan,
  compensation: readonly ModuleCompensation[],
): Promise<PrunedFile[]> {
  const changes = {
    selections: planStoredSelections(model, keptIndices),
    fitted: new Map(compensation.map((planned) => [planned.output.name, planned.fitted])),
    biases: new Map(plan.biases.map((bias) => [bias.name, bias])),
  }
  const weightMap: Record<string, string> = {}
  const files: PrunedFile[] = []
  let totalBytes = 0
  for (const source of model.weightFiles) {
    const name = basename(source)
    const written = await writeShard(source, join(directory, name), changes)
    for (const entry of written.entries) {
      weightMap[entry.name] = name
      totalBytes += sizeOfEntry(entry)
    }
    files.push({ name, bytes: written.bytes, sha256: written.sha256 })
  }
  if (files.length === 1) return files
  const index = { metadata: { total_size: totalBytes }, weight_map: weightMap }
  const json = new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`)
  return [...files, await writeBytes(directory, indexFileName, json)]
}

interface WrittenShard extends WrittenFile {
  readonly entries: readonly SafetensorsEntry[]
}

/** What becomes of tensors, by name. */
interface TensorChanges {
  readonly selections: ReadonlyMap<string, Selection>
  readonly fitted: ReadonlyMap<string, FittedColumns | null>
  readonly biases: ReadonlyMap<string, PlannedBias>
}

async function writeShard(
  source: string,
  target: string,
  { selections, fitted, biases }: TensorChanges,
): Promise<WrittenShard> {
  const file = await openSafetensors(source)
  try {
    const entries: SafetensorsEntry[] = []
    for (const tensor of file.tensors.values()) {
      if (biases.has(tensor.name)) continue
      const selection = selections.get(tensor.name)
      const columns = fitted.get(tensor.name)
      const read = async () => {
        if (columns && isFloatDtype(tensor.dtype)) return encodeSpread(columns, tensor.shape, tensor.dtype)
        const bytes = await file.readTensor(tensor.name)
        return selection ? zeroRemoved({ bytes, shape: tensor.shape }, selection) : bytes
      }
      entries.push({ name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, read })
    }
    for (const { name, dtype, length, read, file: place } of biases.values()) {
      if (place === source) entries.push({ name, dtype, shape: [length], read })
    }
    // Loaders look for `format` to know that the names are PyTorch's.
    const written = await writeSafetensors(target, entries, { format: 'pt', ...file.metadata })
    return { ...written, entries }
  } finally {
    await file.close()
  }
}

/** Fitted columns in their places, zeros elsewhere. */
async function encodeSpread(
  { channels, weight }: FittedColumns,
  [rows = 0, width = 0]: readonly number[],
  dtype: FloatDtype,
): Promise<Uint8Array> {
  const fitted = await weight()
  const spread = new Float32Array(rows * width)
  for (let row = 0; row < rows; row++) {
    channels.forEach((channel, column) => {
      spread[row * width + channel] = fitted[row * channels.length + column] as number
    })
  }
  return encodeFloats(spread, dtype)
}
