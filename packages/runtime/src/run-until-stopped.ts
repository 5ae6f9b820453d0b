import type { Logger } from 'pino'

/** Something that was started and can be ended; `stop` resolves when nothing of it is left. */
export interface Running {
  stop(): Promise<void>
}

export interface RunOptions {
  readonly name: string
  readonly logger: Logger
  readonly start: () => Promise<Running>
  /** Longest a graceful stop may take before the process ends anyway, milliseconds. */
  readonly stopWithinMs?: number
}

const defaultStopWithinMs = 10_000

/** Message a role sends to the process that forked it, once it works. */
export interface ReadyMessage {
  readonly type: 'ready'
  readonly name: string
}

/** First of SIGTERM, SIGINT, or the end of the process that forked this one (its IPC channel closes, even at kill -9). */
function waitForStop(): Promise<string> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve('SIGTERM'))
    process.once('SIGINT', () => resolve('SIGINT'))
    if (process.connected) process.once('disconnect', () => resolve('the parent process ended'))
  })
}

function exitOnUncaught(logger: Logger): void {
  const die = (error: unknown) => {
    logger.fatal({ err: error }, 'uncaught error')
    process.exit(1)
  }
  process.on('uncaughtException', die)
  process.on('unhandledRejection', die)
}

function announceReady(name: string): void {
  const message: ReadyMessage = { type: 'ready', name }
  // the callback takes the error of a parent that has just ended
  if (process.connected) process.send?.(message, undefined, {}, () => {})
}

/**
 * The life of a role's process: start, work until told to stop, stop gracefully, exit.
 * Exit code 0 after a graceful stop; 1 when the start failed, an error was uncaught, or the stop took too long.
 * A second signal ends it at once.
 */
export async function runUntilStopped(options: RunOptions): Promise<void> {
  const { name, logger } = options
  const stopWithinMs = options.stopWithinMs ?? defaultStopWithinMs
  exitOnUncaught(logger)
  const stopAsked = waitForStop()
  const started = options.start()
  started.then(
    () => announceReady(name),
    (error: unknown) => {
      logger.fatal({ err: error }, `${name} did not start`)
      process.exit(1)
    },
  )
  const reason = await stopAsked
  logger.info({ reason }, `${name} stops`)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => process.exit(1))
  setTimeout(() => {
    logger.error({ stopWithinMs }, `${name} did not stop in time`)
    process.exit(1)
  }, stopWithinMs)
  try {
    await (await started).stop()
    process.exit(0)
  } catch (error) {
    logger.error({ err: error }, `${name} did not stop cleanly`)
    process.exit(1)
  }
}
