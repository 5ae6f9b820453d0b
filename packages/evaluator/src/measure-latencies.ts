import type { ExecutionProvider, LatencyTable, ModelShape } from '@espalier/contracts'
import { countCpus } from './count-cpus.js'
import { ThreadClient } from './thread-client.js'

export interface LatencyOptions {
  /** Tokens that the measured one attends to. */
  readonly contextLength: number
  readonly threads?: number | undefined
  readonly provider?: ExecutionProvider | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Measures on this machine how long one token takes in an attention block and in a feed-forward block, by the units
 * kept, and in the output head. Needs the shape of a model, not its weights.
 */
export async function measureLatencies(shape: ModelShape, options: LatencyOptions): Promise<LatencyTable> {
  const { contextLength, threads, provider, signal } = options
  const thread = new ThreadClient()
  try {
    const settings = { shape, contextLength, threads: threads ?? countCpus(), provider: provider ?? 'cpu' }
    return await thread.call('measureLatencies', settings, { signal })
  } finally {
    await thread.close()
  }
}
