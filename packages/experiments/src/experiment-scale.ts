import type { PruningMethod } from '@espalier/contracts'
import type { ComparedPredictor } from './compare-predictors.js'
import type { RandomShape } from './laboratory.js'

/** How much is measured. Two of them exist: the report, and `--quick`, which only shows that everything works. */
export interface ExperimentScale {
  readonly method: PruningMethod
  /** Tokens a window, or as many as the model takes if fewer. */
  readonly windowLength: number
  readonly calibrationWindows: number
  /** Of an evaluation of a search. */
  readonly validationWindows: number
  /** On which what was found is compared; no search has seen them. */
  readonly testWindows: number
  readonly targets: readonly number[]
  /** Share of the agent's usual work. */
  readonly effort: number
  readonly accuracy: {
    readonly predictors: readonly ReportedPredictor[]
    /** Policies measured where a model has no known ones. */
    readonly policies: number
    readonly trainSizes: readonly number[]
  }
  readonly constraints: {
    readonly randoms: number
    readonly proposals: number
    readonly measuredPerTarget: number
    readonly channelMultiple: number
  }
  readonly time: { readonly evaluations: number; readonly scores: number }
  readonly architectures: {
    readonly tinyModels: number
    readonly budget: number
    readonly shapes: readonly RandomShape[]
  }
  readonly ablation: { readonly target: number; readonly budget: number; readonly texts: number }
  readonly cost: {
    readonly budget: number
    readonly runWindows: number
    /** Of which the fastest counts: what else the machine does only adds time. */
    readonly runs: number
  }
  readonly stability: {
    readonly target: number
    readonly budget: number
    readonly calibrations: readonly number[]
    readonly efforts: readonly number[]
  }
}

export type ReportedPredictor = ComparedPredictor | 'curve-alone'

const headCounts = [8, 16, 32, 64]

export const fullScale: ExperimentScale = {
  method: { metric: 'wanda', compensation: 'mean' },
  windowLength: 256,
  calibrationWindows: 16,
  validationWindows: 16,
  testWindows: 60,
  targets: [0.2, 0.35, 0.5],
  effort: 1,
  accuracy: {
    predictors: ['curve', 'curve-alone', 'cnn', 'linear', 'sparsity'],
    policies: 120,
    trainSizes: [30, 60, 120, 240],
  },
  constraints: { randoms: 24, proposals: 48, measuredPerTarget: 3, channelMultiple: 8 },
  time: { evaluations: 12, scores: 100_000 },
  architectures: {
    tinyModels: Number.POSITIVE_INFINITY,
    budget: 16,
    shapes: headCounts.map((heads) => ({ layers: 4, hiddenSize: 512, heads, kvHeads: heads, ffnChannels: 1408 })),
  },
  ablation: { target: 0.5, budget: 33, texts: 3 },
  cost: { budget: 66, runWindows: 16, runs: 5 },
  stability: { target: 0.5, budget: 33, calibrations: [4, 64], efforts: [0.1, 2] },
}

export const quickScale: ExperimentScale = {
  ...fullScale,
  windowLength: 64,
  calibrationWindows: 2,
  validationWindows: 2,
  testWindows: 3,
  targets: [0.3, 0.5],
  effort: 0.02,
  accuracy: { predictors: ['curve', 'curve-alone', 'linear', 'sparsity'], policies: 24, trainSizes: [16] },
  constraints: { randoms: 4, proposals: 6, measuredPerTarget: 1, channelMultiple: 4 },
  time: { evaluations: 2, scores: 1_000 },
  architectures: {
    tinyModels: 1,
    budget: 8,
    shapes: [{ layers: 1, hiddenSize: 64, heads: 32, kvHeads: 32, ffnChannels: 64 }],
  },
  ablation: { target: 0.4, budget: 10, texts: 1 },
  cost: { budget: 12, runWindows: 2, runs: 1 },
  stability: { target: 0.4, budget: 10, calibrations: [1], efforts: [0.04] },
}
