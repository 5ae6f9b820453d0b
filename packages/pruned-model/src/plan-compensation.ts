import { EspalierError } from '@espalier/contracts'
import type { HuggingFaceModel, TensorLocation } from '@espalier/model-graph'
import {
  createPrunableModel,
  factorLeastSquares,
  inputChannelsOf,
  leastSquaresBias,
  meanCompensationBias,
  solveLeastSquares,
} from '@espalier/pruning'
import { readFloat64Range, roundFloats } from '@espalier/tensor-files'
import type { ModuleInputSums, PruningRequest } from './pruning-request.js'

/** What stands in for the removed units of one module. */
export interface ModuleCompensation {
  readonly module: number
  /** o_proj or down_proj. */
  readonly output: TensorLocation
  /** [hidden], to be added to the module's output; computed once, when it is first asked for. */
  bias(): Promise<Float32Array>
  /** Weights in place of the kept columns of `output`; null: they stay. */
  readonly fitted: FittedColumns | null
}

export interface FittedColumns {
  /** Sorted input channels. */
  readonly channels: Int32Array
  /** [hidden, channels] in values that the precision of the model's weights can hold; computed at every call. */
  weight(): Promise<Float32Array>
}

interface PrunedModule {
  readonly model: HuggingFaceModel
  readonly module: number
  readonly output: TensorLocation
  readonly sums: ModuleInputSums
  readonly channels: Int32Array
}

/** One for every module that loses units; none without compensation. */
export function planCompensation(request: PruningRequest): readonly ModuleCompensation[] {
  const { model, keptIndices, calibration, compensation } = request
  if (!calibration || compensation === 'none') return []
  const plan = compensation === 'mean' ? planMean : planLeastSquares
  return createPrunableModel(model.shape).modules.flatMap((module) => {
    const layer = model.layers[module.layer]
    const kept = keptIndices[module.index]
    const sums = calibration[module.index]
    if (!layer || !kept || !sums || kept.length === module.units) return []
    const output = module.kind === 'attention' ? layer.o : layer.down
    const channels = inputChannelsOf(model.shape, module, kept)
    return [plan({ model, module: module.index, output, sums, channels })]
  })
}

/** W[:, removed] E[x[removed]] */
function planMean({ model, module, output, sums, channels }: PrunedModule): ModuleCompensation {
  const bias = async () => {
    const weight = await model.readFloat32(output)
    const mean = sums.sum.map((sum) => sum / sums.count)
    return meanCompensationBias(weight, model.shape.hiddenSize, mean, channels)
  }
  return { module, output, bias, fitted: null }
}

/** A module without kept channels has a bias alone. */
function planLeastSquares({ model, module, output, sums, channels }: PrunedModule): ModuleCompensation {
  const { count, sum, gram } = sums
  if (!gram) {
    throw new EspalierError('POLICY_UNCALIBRATED', `Least squares needs the Gram matrix of module ${module}`, {
      module,
    })
  }
  const hidden = model.shape.hiddenSize
  let bias: Float32Array | null = null
  const fit = async () => {
    const problem = { weight: await model.readFloat32(output), hidden, count, sum, gram: await readFloat64Range(gram) }
    const solved = solveLeastSquares(factorLeastSquares(problem, channels), channels.length)
    const weight = roundFloats(solved, output.dtype)
    bias = leastSquaresBias(problem, weight, channels)
    return { weight, bias }
  }
  return {
    module,
    output,
    bias: async () => bias ?? (await fit()).bias,
    fitted: channels.length === 0 ? null : { channels, weight: async () => (await fit()).weight },
  }
}
