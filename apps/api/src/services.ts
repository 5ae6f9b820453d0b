import type { ModelHubOptions } from '@espalier/model-hub'
import type { WorkQueue } from '@espalier/queue'
import type { Store } from '@espalier/store'

/** What the routes work with; everything that touches the world outside comes in here. */
export interface ApiServices {
  readonly store: Store
  /** Tells the dispatcher that searches have changed. */
  readonly queue: Pick<WorkQueue, 'wake'>
  /** Absolute root of the artefact store. */
  readonly artifacts: string
  /** Absolute folder of uploads; each team has a folder in it. */
  readonly uploads: string
  /** Where models that are named by a source come from. */
  readonly hub: Omit<ModelHubOptions, 'signal' | 'onProgress'>
  /** Largest file of an upload, bytes. */
  readonly maxUploadBytes: number
  /** Requests a minute and key. */
  readonly requestsPerMinute: number
  /** Longest an ordinary request may take, its body included, milliseconds. */
  readonly requestTimeoutMs: number
  readonly events: {
    /** Pause between two looks for new events, milliseconds. */
    readonly pollMs: number
    /** Longest silence on a stream before a comment line keeps it open, milliseconds. */
    readonly heartbeatMs: number
  }
  readonly version: string
}

export const serviceDefaults = {
  /** The largest shards in use are below 10 GiB; unsharded small models are below 32 GiB. */
  maxUploadBytes: 64 * 1024 ** 3,
  requestsPerMinute: 6_000,
  requestTimeoutMs: 30_000,
  events: { pollMs: 400, heartbeatMs: 15_000 },
} as const satisfies Partial<ApiServices>
