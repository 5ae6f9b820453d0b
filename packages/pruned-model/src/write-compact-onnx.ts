import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { buildCompactGraph, type TensorLocation } from '@espalier/model-graph'
import { keptUnitsOf } from '@espalier/pruning'
import { openSafetensors, readBytesAt, type SafetensorsEntry, writeSafetensors } from '@espalier/tensor-files'
import { planCompensation } from './plan-compensation.js'
import { countParameters, type PlannedTensor, planKeptTensors } from './plan-selections.js'
import type { PrunedModel, PruningRequest } from './pruning-request.js'
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
  const biases = listCompensationEntries(request)
  const entries = [...planKeptTensors(model, keptIndices).map(keptEntry), ...biases.values()]
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
    compensationWritten: request.calibration !== null,
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

/** By module, the float32 bias of its compensation. */
function listCompensationEntries(request: PruningRequest): ReadonlyMap<number, SafetensorsEntry> {
  const entries = planCompensation(request).map(({ module, output, compute }) => {
    const name = output.name.replace(/weight$/, 'compensation')
    const read = async () => new Uint8Array((await compute()).buffer)
    return [module, { name, dtype: 'F32', shape: [request.model.shape.hiddenSize], read } as const] as const
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
