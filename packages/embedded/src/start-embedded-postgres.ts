import { spawn } from 'node:child_process'
import { closeSync, openSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError } from '@espalier/contracts'
import { isReady } from './connect.js'
import { findProcess, isSignalable } from './find-process.js'
import { findFreePort, isPortFree } from './free-port.js'
import { initialiseData, removeUnfinishedData } from './initialise-data.js'
import { findPostgresBinaries } from './postgres-binaries.js'
import {
  openPostgresFolder,
  readLockFile,
  readLogBytes,
  readLogSince,
  readLogTail,
  readRememberedPort,
  rememberPort,
} from './postgres-folder.js'
import { createServerHandle, type EmbeddedPostgres, type ServerContext } from './server-handle.js'
import { chooseLaunch, commandOf, giveToOwner } from './unprivileged-launch.js'

export interface EmbeddedPostgresOptions {
  /** Folder for data, password, port and log; made if absent. One server a folder. */
  readonly directory: string
  /** Port to insist on; without it the one used last, or when that is taken, any free one. */
  readonly port?: number
  /** Told in a line what happens to the server. */
  readonly log?: (line: string) => void
  /** Longest a start, with recovery after a crash, may take, milliseconds. */
  readonly startWithinMs?: number
}

const defaultStartWithinMs = 60_000
/** Between two looks at a server that is starting. */
const pollMs = 25
/** Before another attempt, when what is left of a killed server stands in the way. */
const retryMs = 250
/** Attempts when the server ends for a reason that time does not heal. */
const maxFailures = 2
/** Longest that time is given to heal the others, milliseconds. */
const passingTroubleMs = 15_000
const logLinesInError = 15

/** `listen` only on the loopback, no socket file; `fsync` on: what is committed survives `kill -9` and power cuts. */
const serverArguments = [
  ...['-k', '', '-c', 'listen_addresses=127.0.0.1', '-c', 'max_connections=200', '-c', 'fsync=on'],
  ...['-c', 'shared_buffers=32MB', '-c', 'max_wal_size=256MB', '-c', 'timezone=UTC', '-c', 'logging_collector=off'],
  // After a crash everything is flushed before it is trusted; one call for the file system where there is one (Linux)
  // instead of one for each of a thousand files: 0.2 s instead of 4 s on a busy disk.
  ...(process.platform === 'linux' ? ['-c', 'recovery_init_sync_method=syncfs'] : []),
]

/** What a starting server says while a killed one's processes end, or another starter was first. */
const passingTrouble =
  /lock file|shared memory|is another postmaster|address already in use|could not bind|TCP\/IP sockets/i

type Attempt =
  | { readonly outcome: 'ready'; readonly pid: number }
  | { readonly outcome: 'ended'; readonly words: string }

function failed(context: ServerContext, what: string): EspalierError {
  const lines = readLogTail(context.folder, logLinesInError)
  const { directory, logFile } = context.folder
  const message = `${what} in ${directory}${lines ? `; last lines of ${logFile}:\n${lines}` : ''}`
  return new EspalierError('EMBEDDED_POSTGRES_FAILED', message, { directory })
}

async function choosePort(context: ServerContext, wanted: number | undefined): Promise<number> {
  if (wanted !== undefined) return wanted
  const remembered = readRememberedPort(context.folder)
  if (remembered !== null && (await isPortFree(remembered))) return remembered
  const port = await findFreePort()
  if (port === null) throw failed(context, 'no free port on 127.0.0.1 for the embedded Postgres')
  return port
}

/** Starts the server apart from this process: it outlives it, and a Ctrl-C in the terminal does not reach it. */
function spawnServer(context: ServerContext, port: number) {
  const { binaries, folder, launch } = context
  const log = openSync(folder.logFile, 'a')
  try {
    const { command, args, options } = commandOf(launch, binaries.postgres, [
      ...['-D', folder.data, '-p', String(port)],
      ...serverArguments,
    ])
    const child = spawn(command, args, {
      ...options,
      cwd: folder.data,
      detached: true,
      stdio: ['ignore', log, log],
      windowsHide: true,
    })
    const server = { pid: child.pid, ended: false }
    child.once('exit', () => {
      server.ended = true
    })
    child.once('error', (error) => {
      context.log(`Postgres could not be executed: ${error.message}`)
      server.ended = true
    })
    child.unref()
    return server
  } finally {
    closeSync(log)
  }
}

async function attemptStart(context: ServerContext, port: number, endMs: number): Promise<Attempt> {
  const logged = readLogBytes(context.folder)
  const server = spawnServer(context, port)
  while (!server.ended) {
    const lock = readLockFile(context.folder)
    // until the lock is its own, whoever answers on the port is somebody else
    if (lock !== null && lock.pid === server.pid && (await isReady(port, context.folder.password))) {
      return { outcome: 'ready', pid: lock.pid }
    }
    if (performance.now() > endMs) throw failed(context, `the embedded Postgres on port ${port} is not ready in time`)
    await sleep(pollMs)
  }
  return { outcome: 'ended', words: readLogSince(context.folder, logged) }
}

/** Waits for the server that holds the lock, if one runs; null when none does (any more). */
async function adoptRunning(context: ServerContext, endMs: number): Promise<EmbeddedPostgres | null> {
  for (;;) {
    const lock = readLockFile(context.folder)
    const state = lock === null ? 'gone' : findProcess(lock.pid, context.folder.data)
    if (lock === null) return null
    if (state === 'gone' || state === 'other') {
      // Postgres clears a dead pid itself, but takes a zombie or a pid that is another process's now for a server
      if (isSignalable(lock.pid)) rmSync(context.folder.lockFile, { force: true })
      return null
    }
    if (await isReady(lock.port, context.folder.password)) {
      return createServerHandle(context, { ...lock, adopted: true })
    }
    // where processes cannot be told apart, a lock that nobody answers for is taken for stale
    if (state === 'unknown') return null
    if (performance.now() > endMs) throw failed(context, `Postgres ${lock.pid} runs but does not answer`)
    await sleep(pollMs)
  }
}

async function startOrAdopt(context: ServerContext, options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const limitMs = options.startWithinMs ?? defaultStartWithinMs
  const startMs = performance.now()
  const endMs = startMs + limitMs
  const troubleEndMs = startMs + Math.min(limitMs, passingTroubleMs)
  for (let failures = 0; ; ) {
    const running = await adoptRunning(context, endMs)
    if (running) return running
    giveToOwner(context.folder.data, context.launch)
    const port = await choosePort(context, options.port)
    const attempt = await attemptStart(context, port, endMs)
    if (attempt.outcome === 'ready') {
      rememberPort(context.folder, port)
      removeUnfinishedData(context.folder)
      return createServerHandle(context, { pid: attempt.pid, port, adopted: false })
    }
    if (!passingTrouble.test(attempt.words)) failures++
    if (failures >= maxFailures || performance.now() > troubleEndMs) {
      throw failed(context, `the embedded Postgres did not start on port ${port}`)
    }
    await sleep(retryMs)
  }
}

/**
 * Starts the embedded Postgres of a folder, or takes over the one that runs there already.
 * Data, user and random password are made on first use; the same folder gives the same data and, if free, the same port.
 * The server outlives this process: call `stop`.
 *
 * @throws EMBEDDED_POSTGRES_FAILED with the last lines of the server's log
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const log = options.log ?? (() => {})
  const binaries = await findPostgresBinaries()
  const folder = openPostgresFolder(resolve(options.directory))
  const launch = chooseLaunch(folder.directory, binaries.postgres)
  const context: ServerContext = { binaries, folder, launch, log }
  await initialiseData(folder, binaries, launch)
  const server = await startOrAdopt(context, options)
  log(`Postgres ${server.pid} ${server.adopted ? 'found running' : 'started'} on port ${server.port}`)
  return server
}
