import { EspalierError, type ModelShape } from '@espalier/contracts'
import { mostEliminationInputs } from './elimination-errors.js'

/** Inputs of the widest output matrix, o_proj or down_proj. */
export function widestInputsOf({
  queryHeads,
  headDim,
  ffnChannels,
}: Pick<ModelShape, 'queryHeads' | 'headDim' | 'ffnChannels'>): number {
  return Math.max(queryHeads * headDim, ffnChannels)
}

/** @throws EspalierError CALIBRATION_TOO_LARGE where eliminating units, which metric `obs` needs, would take days */
export function checkElimination(shape: ModelShape): void {
  const widest = widestInputsOf(shape)
  if (widest <= mostEliminationInputs) return
  throw new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `The metric "obs" eliminates the inputs of each module one by one; the widest module has ${widest}, allowed are ${mostEliminationInputs}. Choose another metric`,
    { inputs: widest, allowed: mostEliminationInputs },
  )
}
