const firstPauseMs = 200
const longestPauseMs = 5_000
/** What has worked for so long is not failing again and again. */
const healthyMs = 10_000

/** Pauses before starting something again: 0.2 s, doubled up to 5 s; from the beginning after it has worked a while. */
export function createBackoff(now: () => number = () => performance.now()) {
  let pauseMs = firstPauseMs
  let startedMs = 0
  return {
    started() {
      startedMs = now()
    },
    next(): number {
      if (now() - startedMs > healthyMs) pauseMs = firstPauseMs
      const chosen = pauseMs
      pauseMs = Math.min(longestPauseMs, 2 * pauseMs)
      return chosen
    },
  }
}
