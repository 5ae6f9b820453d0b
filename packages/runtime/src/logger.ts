import { type Logger, pino } from 'pino'
import type { Configuration } from './configuration.js'

export type { Logger } from 'pino'

/** What a log line is about; bound by `logger.child(...)`. */
export interface LogBindings {
  readonly searchId?: string
  readonly stepId?: string
  readonly evaluationId?: string
  readonly stepKind?: string
}

/**
 * Structured log of one role, JSON lines on standard error (standard output belongs to results).
 * Written synchronously, so that the last line before a crash is there.
 */
export function createLogger(role: string, config: Pick<Configuration, 'logLevel' | 'node'>): Logger {
  return pino(
    {
      level: config.logLevel,
      base: { role, node: config.node, pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['apiKey', 'databaseUrl', 'redisUrl', 'req.headers.authorization', '*.apiKey', '*.databaseUrl'],
      },
    },
    pino.destination({ dest: 2, sync: true }),
  )
}

/** The logger with the ids of what is being worked on. */
export function bindLogger(logger: Logger, bindings: LogBindings): Logger {
  return logger.child(bindings)
}
