import { EspalierError, type ModelShape } from '@espalier/contracts'
import { mostEliminationInputs } from './elimination-errors.js'

/** @throws EspalierError CALIBRATION_TOO_LARGE where eliminating units, which metric `obs` needs, would take days */
export function checkElimination({ queryHeads, headDim, ffnChannels }: ModelShape): void {
  const widest = Math.max(queryHeads * headDim, ffnChannels)
  if (widest <= mostEliminationInputs) return
  throw new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `The metric "obs" eliminates the inputs of each module one by one; the widest module has ${widest}, allowed are ${mostEliminationInputs}. Choose another metric`,
    { inputs: widest, allowed: mostEliminationInputs },
  )
}
