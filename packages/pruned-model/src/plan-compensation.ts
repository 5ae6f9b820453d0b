import type { TensorLocation } from '@espalier/model-graph'
import { createPrunableModel, inputChannelsOf, meanCompensationBias } from '@espalier/pruning'
import type { PruningRequest } from './pruning-request.js'

/** A bias that stands in for the removed units of one module. */
export interface ModuleCompensation {
  readonly module: number
  /** o_proj or down_proj. */
  readonly output: TensorLocation
  /** [hidden] W[:, removed] E[x[removed]]; reads the weight when it is called. */
  compute(): Promise<Float32Array>
}

/** The biases of mean compensation, one for every module that loses units; none without calibration. */
export function planCompensation({ model, keptIndices, calibration }: PruningRequest): readonly ModuleCompensation[] {
  if (!calibration) return []
  return createPrunableModel(model.shape).modules.flatMap((module) => {
    const layer = model.layers[module.layer]
    const kept = keptIndices[module.index]
    const sums = calibration[module.index]
    if (!layer || !kept || !sums || kept.length === module.units) return []
    const output = module.kind === 'attention' ? layer.o : layer.down
    const compute = async () => {
      const weight = await model.readFloat32(output)
      const mean = sums.sum.map((sum) => sum / sums.count)
      return meanCompensationBias(weight, model.shape.hiddenSize, mean, inputChannelsOf(model.shape, module, kept))
    }
    return [{ module: module.index, output, compute }]
  })
}
