import type { Compensation, ImportanceMetric } from '@espalier/contracts'
import type { HuggingFaceModel } from '@espalier/model-graph'
import type { KeptIndices } from '@espalier/pruning'
import type { Float64Source } from '@espalier/tensor-files'

/** Sum over the calibration tokens of every input channel of a module's output projection. */
export interface ModuleInputSums {
  readonly count: number
  /** [inputs of o_proj or down_proj] */
  readonly sum: Float64Array
  /** sum x_i x_j for j <= i, packed rows of the lower triangle; least-squares compensation needs it. */
  readonly gram?: Float64Source | null
}

/** Numbers for the README of a pruned model; null: not measured. */
export interface PrunedModelReport {
  readonly modelName: string
  readonly sparsity: number
  readonly densePerplexity: number | null
  readonly uniformPerplexity: number | null
  readonly policyPerplexity: number | null
  /** On the windows that the search used. */
  readonly validationPerplexity: number | null
  /** How the numbers were measured. */
  readonly protocol: {
    /** Tokens a window. */
    readonly windowLength: number
    readonly calibrationWindows: number | null
    readonly validationWindows: number | null
    readonly testWindows: number | null
  }
}

/** What to write. The same for every format. */
export interface PruningRequest {
  readonly model: HuggingFaceModel
  readonly modelHash: string
  /** Sorted kept units of every module, 2 x layers. */
  readonly keptIndices: KeptIndices
  /** How the units were ranked; goes into policy.json. */
  readonly metric: ImportanceMetric
  readonly compensation: Compensation
  /** What compensation is computed from, 2 x layers (`CalibrationRecord.modules` fits); null: no compensation. */
  readonly calibration: readonly ModuleInputSums[] | null
  /** Folder to write into; made when absent. */
  readonly directory: string
  readonly report: PrunedModelReport
}

/** Whether compensation is asked for and can be computed. */
export function isCompensated({ compensation, calibration }: PruningRequest): boolean {
  return compensation !== 'none' && calibration !== null
}

export interface PrunedFile {
  /** Relative to the folder. */
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export interface PrunedModel {
  readonly files: readonly PrunedFile[]
  /** Parameters that are left, the biases of the compensation included, a tied matrix counted once. */
  readonly parameters: number
  /** Whether the files hold the compensation. */
  readonly compensationWritten: boolean
  /** Why compensation that was asked for is not in the files; null: it is, or was not asked for. */
  readonly note: string | null
}
