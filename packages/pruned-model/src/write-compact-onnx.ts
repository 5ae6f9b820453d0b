import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildCompactGraph, type TensorLocation } from '@espalier/model-graph'
import { keptUnitsOf } from '@espalier/pruning'
import {
  encodeFloats,
  openSafetensors,
  readBytesAt,
  type SafetensorsEntry,
  writeSafetensors,
} from '@espalier/tensor-files'
import { type FittedColumns, type ModuleCompensation, planCompensation } from './plan-compensation.js'
import { countParameters, type PlannedTensor, planKeptTensors } from './plan-selections.js'
import { isCompensated, type PrunedModel, type PruningRequest } from './pruning-request.js'
import { selectKept } from './select-elements.js'
import { copyCompanions, writeBytes, writeDescription } from './write-companions.js'

const graphFileName = 'model.onnx'
const weightsFileName = 'model.onnx.safetensors'

/**
 * Writes a pruned model as ONNX with only the kept weights: standard operators alone, weights in the precision they
 * had, in a safetensors file beside the graph; arithmetic in float32. Input `input_ids` int64 [batch, sequence],
 * output `logits` float [batch, sequence, vocabulary]. Compensation is kept as float32 biases.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED
 */
export async function writeCompactOnnx(request: PruningRequest): Promise<PrunedModel> {
  const { model, directory, keptIndices } = request
  await mkdir(directory, { recursive: true })
  const compensation = planCompensation(request)
  const biases = listBiasEntries(compensation, model.shape.hiddenSize)
  const fitted = new Map(compensation.map((planned) => [planned.output.name, planned.fitted]))
  const entries = [
    ...planKeptTensors(model, keptIndices).map((planned) => {
      const columns = fitted.get(planned.tensor.name)
      return columns ? fittedEntry(planned, columns) : keptEntry(planned)
    }),
    ...biases.values(),
  ]
  const weights = await writeSafetensors(join(directory, weightsFileName), entries, { producer: 'espalier' })
  const locate = await createLocator(join(directory, weightsFileName))
  const graph = buildCompactGraph(model, {
    kept: keptUnitsOf(keptIndices),
    locate: ({ name }) => locate(name),
    compensation: keptIndices.map((_, module) => {
      const bias = biases.get(module)
      return bias ? locate(bias.name) : null
    }),
  })
  const summary = {
    parameters: countParameters(entries),
    compensationWritten: isCompensated(request),
    note: null,
  }
  const files = [
    await writeBytes(directory, graphFileName, graph),
    { name: weightsFileName, ...weights },
    ...(await copyCompanions(model.directory, directory)),
    ...(await writeDescription(request, 'onnx', summary)),
  ]
  return { ...summary, files }
}

function keptEntry({ tensor, selection, shape }: PlannedTensor): SafetensorsEntry {
  const read = async () => {
    const bytes = await readBytesAt(tensor.file, tensor)
    return selection ? selectKept({ bytes, shape: tensor.shape }, selection) : bytes
  }
  return { name: tensor.name, dtype: tensor.dtype, shape, read }
}

function fittedEntry({ tensor, shape }: PlannedTensor, columns: FittedColumns): SafetensorsEntry {
  const read = async () => encodeFloats(await columns.weight(), tensor.dtype)
  return { name: tensor.name, dtype: tensor.dtype, shape, read }
}

/** By module, the float32 bias of its compensation. */
function listBiasEntries(
  compensation: readonly ModuleCompensation[],
  hidden: number,
): ReadonlyMap<number, SafetensorsEntry> {
  const entries = compensation.map(({ module, output, bias }) => {
    const name = output.name.replace(/weight$/, 'compensation')
    const read = async () => new Uint8Array((await bias()).buffer)
    return [module, { name, dtype: 'F32', shape: [hidden], read } as const] as const
  })
  return new Map(entries)
}

type WeightLocation = TensorLocation & { readonly location: string }

/** Finds tensors of the written file by name. */
async function createLocator(file: string): Promise<(name: string) => WeightLocation> {
  const written = await openSafetensors(file)
  await written.close()
  return (name) => {
    const tensor = written.tensors.get(name)
    const dtype = tensor?.dtype
    if (!tensor || (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16')) {
      throw new RangeError(`${file} has no float tensor ${name}`)
    }
    return { ...tensor, dtype, file, fileName: weightsFileName, location: weightsFileName }
  }
}
