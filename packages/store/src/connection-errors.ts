/** SQLSTATE classes and codes of a server that is away, going away, coming up or full (PostgreSQL manual, appendix A). */
const sqlStates = /^(08...|57P0[123]|53300)$/
/** Node's socket errors. */
const socketErrors =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ECONNABORTED)$/
/** Prisma: unreachable, timed out, closed, no connection in time, transaction could not start or lost its connection. */
const prismaErrors = /^(P1001|P1002|P1008|P1017|P2024|P2028)$/
/** What Prisma's driver adapter calls the same. */
const adapterKinds = /^(DatabaseNotReachable|ConnectionClosed|SocketTimeout|TooManyConnections)$/
/** The `pg` driver gives these no code. */
const messages =
  /connection terminated|a connection error and is not queryable|timeout exceeded when trying to connect/i

const lockNotAvailable = '55P03'

/** Whether the database was away: the same call may succeed when it is back. */
export function isConnectionError(error: unknown): boolean {
  return someCause(
    error,
    ({ code, originalCode, kind, message }) =>
      [sqlStates, socketErrors, prismaErrors].some((codes) => matches(codes, code) || matches(codes, originalCode)) ||
      matches(adapterKinds, kind) ||
      matches(messages, message),
  )
}

/** Whether a row was held by another transaction for longer than we wait. */
export function isLockTimeout(error: unknown): boolean {
  return someCause(error, ({ code, originalCode }) => code === lockNotAvailable || originalCode === lockNotAvailable)
}

const matches = (pattern: RegExp, value: unknown) => typeof value === 'string' && pattern.test(value)

/** Prisma hides the driver's error at most this many levels down. */
const maxDepth = 6

/** Looks at an error and everything that is wrapped in it. */
function someCause(error: unknown, test: (value: Record<string, unknown>) => boolean, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > maxDepth) return false
  const value: Record<string, unknown> = { ...error, message: 'message' in error ? error.message : undefined }
  const inner = ['cause' in error ? error.cause : undefined, value.meta, value.driverAdapterError]
  return test(value) || inner.some((next) => someCause(next, test, depth + 1))
}
