import type { LatencyTable, Precision, RecordedError, WeightPrecision } from '@espalier/contracts'
import type { GramSettings } from './calibrate-model.js'
import type { SessionSettings } from './create-session.js'
import type {
  CalibrateRequest,
  CalibrationRecord,
  Measurement,
  ModuleWork,
  RunOptions,
  WindowedTokens,
} from './evaluator.js'
import type { PlannedContinuations } from './measure-continuations.js'
import type { LogitsMeasurement } from './measure-logits.js'
import type { PolicyRequest } from './policy-session.js'
import type { LatencySettings } from './run-latencies.js'

/** The model that a call is about. Every call carries it, so that a thread started anew needs no history. */
export interface ThreadModel extends SessionSettings, GramSettings {
  readonly modelDirectory: string
  readonly weights: WeightPrecision
  /** null: by the number of tokens. */
  readonly batchWindows: number | null
  readonly precision: Precision | 'auto'
  /** null: not limited. */
  readonly memoryBytes: number | null
}

interface CallOf<K extends string, P> {
  readonly kind: K
  readonly payload: P
}

/** What the main thread asks, one call at a time. */
export type ThreadCall =
  | CallOf<'open', { readonly model: ThreadModel }>
  | CallOf<'measure', { readonly model: ThreadModel; readonly request: PolicyRequest }>
  | CallOf<'measureContinuations', { readonly model: ThreadModel; readonly request: PlannedContinuations }>
  | CallOf<'calibrate', { readonly model: ThreadModel; readonly tokens: Omit<CalibrateRequest, keyof RunOptions> }>
  | CallOf<'measureLogits', { readonly path: string; readonly tokens: WindowedTokens; readonly threads: number }>
  | CallOf<'measureProductPeak', { readonly threads: number }>
  | CallOf<'probeCuda', { readonly deviceId: number }>
  | CallOf<'measureLatencies', LatencySettings>
  | CallOf<'close', null>
export type ThreadCallKind = ThreadCall['kind']
export type ThreadPayload<K extends ThreadCallKind> = Extract<ThreadCall, { kind: K }>['payload']

/** What each call gives. */
export interface ThreadResults {
  open: Precision
  measure: Measurement
  measureContinuations: Float64Array
  calibrate: CalibrationRecord
  measureLogits: LogitsMeasurement
  measureProductPeak: number
  probeCuda: null
  measureLatencies: LatencyTable
  close: null
}

export interface ThreadRequest {
  readonly call: ThreadCall
  /** One int32 of shared memory; not 0: give up. Seen at once, while a message would wait for the native call. */
  readonly abort: Int32Array
}

export type ThreadReply =
  | { readonly kind: 'progress'; readonly windowsDone: number }
  | { readonly kind: 'module'; readonly work: ModuleWork }
  | { readonly kind: 'done'; readonly value: ThreadResults[ThreadCallKind] }
  | { readonly kind: 'aborted' }
  | { readonly kind: 'failed'; readonly error: RecordedError }
