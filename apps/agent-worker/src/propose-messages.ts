import type { LatencyTable, ModelShape, RecordedError } from '@espalier/contracts'
import type { Proposal, ProposeTask } from '@espalier/policy-agent'
import type { RuleSettings } from '@espalier/pruning'

/** A task of the agent in a form that goes between threads. */
export interface ProposeRequest extends Omit<ProposeTask, 'model' | 'predictor' | 'targets' | 'rules'>, RuleSettings {
  readonly shape: ModelShape
  /** What `Predictor.toJSON` gave; null: none was trained. */
  readonly predictor: unknown
  readonly latencies: LatencyTable | undefined
}

/** What the thread says: once that it is there, then one answer for each request, in order. */
export type ThreadMessage =
  | { readonly type: 'ready'; readonly backend: string }
  | { readonly type: 'proposed'; readonly proposal: Proposal }
  | { readonly type: 'failed'; readonly error: RecordedError }
