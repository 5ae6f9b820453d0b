import { randomBytes } from 'node:crypto'
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where things lie in the folder of one embedded Postgres. */
export interface PostgresFolder {
  readonly directory: string
  readonly data: string
  readonly lockFile: string
  readonly logFile: string
  /** Password of the only user; made on first use, mode 0600. */
  readonly password: string
}

/** Major version of the binaries: data of one cannot be opened by another. */
const dataName = 'pg18'
/** A log longer than this is cut at the next start. */
const maxLogBytes = 4 * 1024 * 1024

const isMissing = (error: unknown) =>
  error !== null && typeof error === 'object' && 'code' in error && error.code === 'ENOENT'

function readIfPresent(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/** Makes the password exactly once, whoever comes first: written elsewhere whole, then linked to its name. */
function ensurePassword(directory: string): string {
  const path = join(directory, 'password')
  const present = readIfPresent(path)
  if (present !== null) return present
  const unfinished = join(directory, `password.${process.pid}.${randomBytes(4).toString('hex')}`)
  writeFileSync(unfinished, randomBytes(24).toString('base64url'), { mode: 0o600, flush: true })
  try {
    linkSync(unfinished, path)
  } catch (error) {
    if (readIfPresent(path) === null) throw error
  } finally {
    rmSync(unfinished)
  }
  return readFileSync(path, 'utf8')
}

/** Opens the folder, made if absent. Others may pass through it (0711) and read nothing. */
export function openPostgresFolder(directory: string): PostgresFolder {
  mkdirSync(directory, { recursive: true, mode: 0o711 })
  const data = join(directory, dataName)
  const logFile = join(directory, 'postgres.log')
  const log = statSync(logFile, { throwIfNoEntry: false })
  if (log && log.size > maxLogBytes) renameSync(logFile, `${logFile}.old`)
  return {
    directory,
    data,
    lockFile: join(data, 'postmaster.pid'),
    logFile,
    password: ensurePassword(directory),
  }
}

export function readRememberedPort(folder: PostgresFolder): number | null {
  const port = Number(readIfPresent(join(folder.directory, 'port')) ?? Number.NaN)
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : null
}

export function rememberPort(folder: PostgresFolder, port: number): void {
  writeFileSync(join(folder.directory, 'port'), `${port}\n`)
}

/** Lock file of a running, or killed, server: pid in line 1, port in line 4 (storage/pidfile.h of Postgres). */
export function readLockFile(folder: PostgresFolder): { pid: number; port: number } | null {
  const lines = readIfPresent(folder.lockFile)?.split('\n') ?? []
  const [pid, port] = [Number(lines[0]), Number(lines[3])]
  return Number.isInteger(pid) && pid > 0 && Number.isInteger(port) && port > 0 ? { pid, port } : null
}

/** Last lines of the server's log. */
export function readLogTail(folder: PostgresFolder, lines: number): string {
  return (readIfPresent(folder.logFile) ?? '').trimEnd().split('\n').slice(-lines).join('\n')
}

export function readLogBytes(folder: PostgresFolder): number {
  return statSync(folder.logFile, { throwIfNoEntry: false })?.size ?? 0
}

/** What the server has logged after the first `bytes` bytes. */
export function readLogSince(folder: PostgresFolder, bytes: number): string {
  return readFileSync(folder.logFile).subarray(bytes).toString('utf8')
}
