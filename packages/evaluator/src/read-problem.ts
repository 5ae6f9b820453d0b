import type { HuggingFaceModel } from '@espalier/model-graph'
import type { LeastSquaresProblem, PruningModule } from '@espalier/pruning'
import { readFloat64Range } from '@espalier/tensor-files'
import type { ModuleCalibration } from './evaluator.js'

/** o_proj or down_proj of a module. */
export function outputOf(model: HuggingFaceModel, module: PruningModule) {
  const layer = model.layers[module.layer]
  if (layer === undefined) throw new RangeError(`The model has no layer ${module.layer}`)
  return module.kind === 'attention' ? layer.o : layer.down
}

/** A module's weights and statistics, with its Gram matrix in memory. */
export async function readProblem(
  model: HuggingFaceModel,
  { count, sum, gram }: ModuleCalibration,
  module: PruningModule,
): Promise<LeastSquaresProblem> {
  if (gram === null) throw new RangeError(`The calibration has no Gram matrix of module ${module.index}`)
  const weight = await model.readFloat32(outputOf(model, module))
  return { weight, hidden: model.shape.hiddenSize, count, sum, gram: await readFloat64Range(gram) }
}
