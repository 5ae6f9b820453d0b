import type {
  EvaluationsFile,
  ImportanceMetric,
  KeptUnits,
  ModelShape,
  PruningMethod,
  Split,
} from '@espalier/contracts'
import type { KeptIndices, PrunableModel, UnitRanking } from '@espalier/pruning'

/** One calibration pass, whatever the policies. */
export interface LabCalibration {
  readonly windows: number
  readonly seconds: number
  rankings(metric: ImportanceMetric): readonly UnitRanking[]
}

export interface LabRequest {
  readonly policies: readonly KeptUnits[]
  readonly calibration: LabCalibration
  readonly method: PruningMethod
  readonly split: Split
  /** Window of the split to begin with; left out: 0. */
  readonly firstWindow?: number
  readonly windows: number
  /** Measured one by one, without sharing what policies have in common. */
  readonly alone?: boolean
}

export interface LabMeasurement {
  /** Sum of the next-token negative log-likelihoods of each window. */
  readonly nll: readonly number[]
  readonly logPerplexity: number
  readonly seconds: number
}

export interface WriteAndRunRequest {
  readonly kept: KeptIndices
  readonly calibration: LabCalibration
  readonly method: PruningMethod
  readonly windows: number
  /** Each loads the files anew; the fastest counts. */
  readonly runs: number
}

/** A pruned, or the dense, model as a file of its own, and how fast that runs. */
export interface WrittenModel {
  readonly parameters: number
  /** Of all its files. */
  readonly bytes: number
  readonly tokensPerSecond: number
  readonly perplexity: number
}

/** A model that is open, with its texts: what experiments measure on. They know no file and no clock but these. */
export interface Laboratory {
  readonly name: string
  readonly shape: ModelShape
  readonly model: PrunableModel
  readonly windowLength: number
  /** Whole windows of each text. */
  readonly windows: Readonly<Record<Split, number>>
  /** Policies of this model that were measured before. */
  readonly known: EvaluationsFile | null
  /** Seconds. */
  now(): number
  calibrate(windows: number): Promise<LabCalibration>
  /** In the order of the policies. */
  measure(request: LabRequest): Promise<LabMeasurement[]>
  /** Writes a policy as a compact model, loads that, and runs it on the first windows of the test text. */
  writeAndRun(request: WriteAndRunRequest): Promise<WrittenModel>
  close(): Promise<void>
}

/** Shape of a Llama with random weights. */
export interface RandomShape {
  readonly layers: number
  readonly hiddenSize: number
  readonly heads: number
  readonly kvHeads: number
  readonly ffnChannels: number
}

/** Where laboratories come from. */
export interface Workshop {
  /** The model that the report is about. */
  readonly subject: Laboratory
  /** Small models with random weights, one or more an architecture. */
  readonly tinyModels: readonly string[]
  openTinyModel(name: string): Promise<Laboratory>
  createRandomModel(shape: RandomShape): Promise<Laboratory>
}
