import { countCpus } from './count-cpus.js'
import { ThreadClient } from './thread-client.js'

/** Peak of float32 matrix products in ONNX Runtime on this machine's CPU, FLOP/s: the fastest of a few. */
export async function measureProductPeak(options: { threads?: number | undefined } = {}): Promise<number> {
  const thread = new ThreadClient()
  try {
    return await thread.call('measureProductPeak', { threads: options.threads ?? countCpus() })
  } finally {
    await thread.close()
  }
}
