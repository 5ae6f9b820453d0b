import { mkdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import {
  openSafetensors,
  type SafetensorsEntry,
  sizeOfEntry,
  type WrittenFile,
  writeSafetensors,
} from '@espalier/tensor-files'
import { type BiasPlan, planBiases } from './plan-biases.js'
import { planCompensation } from './plan-compensation.js'
import { countParameters, planKeptTensors, planStoredSelections } from './plan-selections.js'
import type { PrunedFile, PrunedModel, PruningRequest } from './pruning-request.js'
import { type Selection, zeroRemoved } from './select-elements.js'
import { setConfigFlags } from './set-config-flags.js'
import { copyCompanions, writeBytes, writeDescription } from './write-companions.js'

const configFileName = 'config.json'
const indexFileName = 'model.safetensors.index.json'

/**
 * Writes a pruned model in Hugging Face format: the files, shapes and precision of the original, with zeros for every
 * weight of a removed unit, so that any loader of the original loads it. Compensation becomes biases of o_proj and
 * down_proj where config.json of the architecture can announce them; else it is left out, and the result says so.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED
 */
export async function writeHuggingFace(request: PruningRequest): Promise<PrunedModel> {
  const { model, directory, keptIndices } = request
  await mkdir(directory, { recursive: true })
  const plan = planBiases(request)
  const compensationWritten = request.calibration !== null && plan.note === null
  const added = compensationWritten ? planCompensation(request).map(() => ({ shape: [model.shape.hiddenSize] })) : []
  const summary = {
    parameters: countParameters([...planKeptTensors(model, keptIndices), ...added]),
    compensationWritten,
    note: plan.note,
  }
  const config = setConfigFlags(await readFile(join(model.directory, configFileName), 'utf8'), plan.flags)
  const files = [
    ...(await writeWeights(request, plan)),
    await writeBytes(directory, configFileName, new TextEncoder().encode(config)),
    ...(await copyCompanions(model.directory, directory)),
    ...(await writeDescription(request, 'huggingface', summary)),
  ]
  return { ...summary, files }
}

/** Writes one file for each of the model's, and an index when there are several. */
async function writeWeights({ model, keptIndices, directory }: PruningRequest, plan: BiasPlan): Promise<PrunedFile[]> {
  const selections = planStoredSelections(model, keptIndices)
  const weightMap: Record<string, string> = {}
  const files: PrunedFile[] = []
  let totalBytes = 0
  for (const source of model.weightFiles) {
    const name = basename(source)
    const written = await writeShard(source, join(directory, name), selections, plan)
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

async function writeShard(
  source: string,
  target: string,
  selections: ReadonlyMap<string, Selection>,
  plan: BiasPlan,
): Promise<WrittenShard> {
  const biases = new Map(plan.biases.map((bias) => [bias.name, bias]))
  const file = await openSafetensors(source)
  try {
    const entries: SafetensorsEntry[] = []
    for (const tensor of file.tensors.values()) {
      if (biases.has(tensor.name)) continue
      const selection = selections.get(tensor.name)
      const read = async () => {
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
