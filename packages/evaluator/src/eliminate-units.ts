import { EspalierError } from '@espalier/contracts'
import type { HuggingFaceModel } from '@espalier/model-graph'
import { createPrunableModel, eliminationErrors, mostEliminationInputs } from '@espalier/pruning'
import type { ModuleCalibration } from './evaluator.js'
import { moduleWidthsOf } from './gram-memory.js'
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

/** @throws EspalierError CALIBRATION_TOO_LARGE */
export function checkElimination({ shape }: HuggingFaceModel): void {
  const widest = Math.max(...moduleWidthsOf(shape))
  if (widest <= mostEliminationInputs) return
  throw new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `The metric "obs" eliminates the inputs of each module one by one; the widest module has ${widest}, allowed are ${mostEliminationInputs}. Choose another metric`,
    { inputs: widest, allowed: mostEliminationInputs },
  )
}
