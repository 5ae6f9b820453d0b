import type { PruningMethod, SearchSettings } from '@espalier/contracts'
import type { Laboratory } from './laboratory.js'

/** Settings of a search for experiments: everything else is the default of searches. */
export function searchSettings(
  laboratory: Laboratory,
  own: {
    readonly targets: readonly number[]
    readonly budget: number
    readonly seed: number
    readonly method: PruningMethod
    readonly calibrationWindows: number
    readonly validationWindows: number
    readonly testWindows: number
  },
): SearchSettings {
  return {
    ...own.method,
    ...{ targets: [...own.targets], budget: own.budget, seed: own.seed },
    ...{ agent: 'network', predictor: 'curve', fidelity: 'auto', windowLength: laboratory.windowLength },
    ...{ calibrationWindows: own.calibrationWindows, validationWindows: own.validationWindows },
    ...{ finalWindows: own.testWindows, finalists: 0, minimumImprovement: 0 },
    texts: { calibration: 'calibration', validation: 'validation', test: 'test' },
    exports: [],
  }
}
