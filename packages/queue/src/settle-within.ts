import { setTimeout as sleep } from 'node:timers/promises'

/** Waits for a promise to settle either way, at most so long. Whether it fulfilled in time. */
export async function settleWithin(work: Promise<unknown>, limitMs: number): Promise<boolean> {
  const timer = new AbortController()
  const settled = work.then(
    () => true,
    () => false,
  )
  const expired = sleep(limitMs, false, { signal: timer.signal }).catch(() => false)
  try {
    return await Promise.race([settled, expired])
  } finally {
    timer.abort()
  }
}
