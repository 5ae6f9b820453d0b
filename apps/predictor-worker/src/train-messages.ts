import type { ImportanceMetric, ModelShape, PredictorKind, RecordedError } from '@espalier/contracts'
import type { PredictorSummary, TrainingEvaluation } from '@espalier/predictor'

/** What the training thread is given. */
export interface TrainRequest {
  readonly kind: PredictorKind
  readonly shape: ModelShape
  readonly metric: ImportanceMetric
  /** Path of the calibration record, from which the units are ranked. */
  readonly calibration: string
  readonly evaluations: readonly TrainingEvaluation[]
  readonly seed: number
  /** Parameters of the predictor of a related model. */
  readonly related?: unknown
}

export interface TrainedPredictor {
  readonly parameters: unknown
  readonly onnx: Uint8Array
  readonly summary: Readonly<Pick<PredictorSummary, keyof PredictorSummary>>
}

export type TrainMessage =
  | { readonly type: 'trained'; readonly predictor: TrainedPredictor }
  | { readonly type: 'failed'; readonly error: RecordedError }
