import type { StepKind, StepResult } from '@espalier/contracts'
import type { Logger } from '@espalier/runtime'
import type { Lease, StepEffects } from '@espalier/store'

export interface StepContext {
  /** Aborted when the lease is lost, the search cancelled, or the worker stops. */
  readonly signal: AbortSignal
  /** Bound to the search and the step. */
  readonly logger: Logger
}

/** What a step gave, and the rows that are written with it in the same transaction. */
export interface StepOutcome<K extends StepKind> {
  readonly result: StepResult<K>
  readonly effects: StepEffects<K>
}

/** Does one kind of step. Throws EspalierError; whether it is tried again follows from the code. */
export type Processor<K extends StepKind> = (lease: Lease<K>, context: StepContext) => Promise<StepOutcome<K>>

/** The kinds of steps that a worker does. */
export type Processors = { readonly [K in StepKind]?: Processor<K> }
