import type { HuggingFaceModel } from '@espalier/model-graph'
import { createPrunableModel, eliminationErrors } from '@espalier/pruning'
import type { ModuleCalibration } from './evaluator.js'
import { readProblem } from './read-problem.js'

/**
 * What eliminating the units of each module costs, in module order; one module after the other.
 * @param checkAborted called before each unit; throws to give up
 */
export async function eliminateUnits(
  model: HuggingFaceModel,
  modules: readonly ModuleCalibration[],
  checkAborted: () => void,
): Promise<Float64Array[]> {
  const errors: Float64Array[] = []
  for (const module of createPrunableModel(model.shape).modules) {
    const problem = await readProblem(model, modules[module.index] as ModuleCalibration, module)
    errors.push(eliminationErrors(problem, module.units, checkAborted))
  }
  return errors
}
