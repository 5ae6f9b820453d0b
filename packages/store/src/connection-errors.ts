/** SQLSTATE classes and codes of a server that is away, going away or full (PostgreSQL manual, appendix A). */
const connectionStates = /^(08...|57P0[123]|53300)$/
/** Node's socket errors. */
const socketErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
])
/** Prisma: unreachable, timed out, closed, no connection in time, transaction could not start or lost its connection. */
const prismaErrors = new Set(['P1001', 'P1002', 'P1008', 'P1017', 'P2024', 'P2028'])
const messages =
  /connection terminated|connection error|timeout exceeded when trying to connect|server has closed the connection/i

const lockNotAvailable = '55P03'

/** Whether the database was away: the same call may succeed when it is back. */
export function isConnectionError(error: unknown): boolean {
  return someCause(error, ({ code, originalCode, message }) => {
    const codes = [code, originalCode].filter((value) => typeof value === 'string')
    if (codes.some((value) => connectionStates.test(value) || socketErrors.has(value) || prismaErrors.has(value)))
      return true
    return typeof message === 'string' && messages.test(message)
  })
}

/** Whether a row was held by another transaction for longer than we wait. */
export function isLockTimeout(error: unknown): boolean {
  return someCause(error, ({ code, originalCode }) => code === lockNotAvailable || originalCode === lockNotAvailable)
}

/** Looks at an error and everything Prisma wraps in it. */
function someCause(error: unknown, test: (value: Record<string, unknown>) => boolean, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > 6) return false
  const value = error as Record<string, unknown>
  if (test(value)) return true
  return [value.cause, value.meta, value.driverAdapterError].some((inner) => someCause(inner, test, depth + 1))
}
