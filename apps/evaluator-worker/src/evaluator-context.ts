import type { ExecutionProvider } from '@espalier/contracts'
import type { ModelHubOptions } from '@espalier/model-hub'
import type { ArtifactStore, Logger } from '@espalier/runtime'
import type { Store } from '@espalier/store'
import type { SearchDataReader } from './search-data.js'
import type { WarmModels } from './warm-model.js'

/** What the processors of this worker share. */
export interface EvaluatorContext {
  readonly store: Store
  readonly artifacts: ArtifactStore
  readonly models: WarmModels
  readonly searchData: SearchDataReader
  /** Where models that are named by a source come from, and where they are kept. */
  readonly hub: Omit<ModelHubOptions, 'signal' | 'onProgress'>
  /** Threads that a numeric session may use now. */
  readonly countThreads: () => number
  readonly provider: ExecutionProvider
}

/** What the worker loop gives with each step. */
export interface StepContext {
  /** Aborted when the lease is lost or the search cancelled. */
  readonly signal: AbortSignal
  readonly logger: Logger
}
