/** Code of a system error (`ENOENT`, `ECONNRESET`); null for anything else. */
export function errorCodeOf(error: unknown): string | null {
  const hasCode = typeof error === 'object' && error !== null && 'code' in error
  return hasCode && typeof error.code === 'string' ? error.code : null
}

/** What an error says, whichever realm it comes from. */
export function messageOf(error: unknown): string {
  const hasMessage = typeof error === 'object' && error !== null && 'message' in error
  return hasMessage ? String(error.message) : String(error)
}

/** Whether the operating system refused, rather than contents being wrong. */
export function isSystemError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'syscall' in error
}
