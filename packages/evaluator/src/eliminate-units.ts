import type { HuggingFaceModel } from '@espalier/model-graph'
import { createPrunableModel, eliminationErrors } from '@espalier/pruning'
import type { ModuleCalibration } from './evaluator.js'
import { readProblem } from './read-problem.js'
import { type CallControl, checkAborted } from './run-windows.js'

/**
 * What eliminating the units of each module costs, in module order; one module after the other.
 * @throws Aborted
 */
export async function eliminateUnits(
  model: HuggingFaceModel,
  modules: readonly ModuleCalibration[],
  control: CallControl,
): Promise<Float64Array[]> {
  const errors: Float64Array[] = []
  const prunable = createPrunableModel(model.shape).modules
  for (const module of prunable) {
    control.reportModule({ task: 'eliminate', done: module.index, modules: prunable.length })
    const problem = await readProblem(model, modules[module.index] as ModuleCalibration, module)
    errors.push(eliminationErrors(problem, module.units, () => checkAborted(control)))
  }
  return errors
}
