import { countCpus } from './count-cpus.js'
import type { RunOptions, WindowedTokens } from './evaluator.js'
import type { LogitsMeasurement } from './measure-logits.js'
import { ThreadClient } from './thread-client.js'

export interface MeasureLogitsRequest extends WindowedTokens, RunOptions {
  /** ONNX file with `input_ids` int64 [batch, sequence] -> `logits` float [batch, sequence, vocabulary]. */
  readonly path: string
  readonly threads?: number | undefined
}

/**
 * Loads an exported model in plain ONNX Runtime and measures it, in a worker thread of its own; the likelihood is
 * computed in float64 from the logits.
 *
 * @throws EspalierError TEXT_TOO_SHORT, TOKEN_OUT_OF_RANGE, EVALUATION_NOT_FINITE, EVALUATION_FAILED
 */
export async function measureLogitsModel(request: MeasureLogitsRequest): Promise<LogitsMeasurement> {
  const { path, threads, signal, onProgress, ...tokens } = request
  const thread = new ThreadClient()
  try {
    return await thread.call('measureLogits', { path, tokens, threads: threads ?? countCpus() }, { signal, onProgress })
  } finally {
    await thread.close()
  }
}
