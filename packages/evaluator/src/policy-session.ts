import type { Precision } from '@espalier/contracts'
import type { HuggingFaceModel } from '@espalier/model-graph'
import type { InferenceSession } from 'onnxruntime-node'
import type { DenseReference } from './dense-reference.js'
import type { MeasureRequest, RunOptions } from './evaluator.js'
import type { FittingBatch } from './fit-batch.js'
import type { FittedWeights } from './fitted-weights.js'
import type { PrefixStates } from './prefix-states.js'

/** What a policy is measured with. */
export interface PolicySession {
  readonly model: HuggingFaceModel
  /** Of the evaluation graph. */
  readonly session: InferenceSession
  readonly precision: Precision
  readonly batch: FittingBatch
  readonly fittedWeights: FittedWeights
  readonly dense: DenseReference
  /** null: the graph is not resumable. */
  readonly prefixStates: PrefixStates | null
}

/** Stands for the calibration of a request wherever fitted weights or states are kept. */
export interface PolicyRequest extends Omit<MeasureRequest, keyof RunOptions> {
  readonly calibrationKey: string
}
