import { InterruptedError } from './command-errors.js'

/** Told once that the person, or the system, wants the command to end. */
export interface Interruption {
  readonly signal: AbortSignal
  /** What to do when a second signal asks to end at once, without waiting for anything. */
  onImpatience(callback: () => void): void
  /** Back to the default behaviour of signals. */
  dispose(): void
}

/**
 * One Ctrl-C can arrive more than once: the terminal signals the whole process group, and npm passes its own on.
 * A signal so soon after the first is the same one.
 */
const sameSignalMs = 500

/** Takes over SIGINT and SIGTERM: the first aborts `signal`, another one ends the process at once. */
function listenForInterruption(): Interruption {
  const controller = new AbortController()
  const callbacks: (() => void)[] = []
  let firstMs = 0
  const onSignal = () => {
    if (!controller.signal.aborted) {
      firstMs = performance.now()
      controller.abort()
      return
    }
    if (performance.now() - firstMs < sameSignalMs) return
    for (const callback of callbacks) callback()
    process.exit(130)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signal: controller.signal,
    onImpatience: (callback) => callbacks.push(callback),
    dispose() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}

/**
 * Runs something that Ctrl-C may stop. Once it was pressed, whatever the work ends with is the end by Ctrl-C.
 * @throws InterruptedError
 */
export async function runInterruptible<T>(
  run: (signal: AbortSignal, interruption: Interruption) => Promise<T>,
): Promise<T> {
  const interruption = listenForInterruption()
  try {
    return await run(interruption.signal, interruption)
  } catch (error) {
    if (interruption.signal.aborted) throw new InterruptedError()
    throw error
  } finally {
    interruption.dispose()
  }
}
