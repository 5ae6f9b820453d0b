/**
 * Runs a task for every item, at most `limit` at a time. The first failure aborts the others and is thrown once
 * all have ended.
 */
export async function runLimited<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal | undefined,
  task: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const abort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  const queue = items.values()
  const failures: unknown[] = []
  const work = async () => {
    for (const item of queue) {
      if (controller.signal.aborted) return
      await task(item, controller.signal).catch((error: unknown) => {
        failures.push(error)
        controller.abort(error)
      })
    }
  }
  try {
    await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work))
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  signal?.throwIfAborted()
  if (failures.length > 0) throw failures[0]
}
