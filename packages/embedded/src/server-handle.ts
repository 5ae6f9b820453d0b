import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError } from '@espalier/contracts'
import { urlOf } from './connect.js'
import { findProcess } from './find-process.js'
import type { PostgresBinaries } from './postgres-binaries.js'
import type { PostgresFolder } from './postgres-folder.js'
import { commandOf, type Launch } from './unprivileged-launch.js'

/** A running embedded Postgres, started here or found running. */
export interface EmbeddedPostgres {
  /** Connection string, with the password. */
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Whether it ran already, left by a process that was killed. */
  readonly adopted: boolean
  /** Shuts it down: open connections are closed, everything is written. */
  stop(): Promise<void>
  /** Calls back once if the server ends though nobody asked it to. */
  onExit(callback: () => void): void
}

/** How often a server is looked at, milliseconds. Found running, it is not our child: nothing tells of its end. */
const watchEveryMs = 100
/** A fast shutdown writes a checkpoint. */
const fastShutdownMs = 30_000
const immediateShutdownMs = 5_000

export interface ServerContext {
  readonly binaries: PostgresBinaries
  readonly folder: PostgresFolder
  readonly launch: Launch
  readonly log: (line: string) => void
}

async function isGoneWithin(context: ServerContext, pid: number, limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs
  while (findProcess(pid, context.folder.data) !== 'gone') {
    if (performance.now() > end) return false
    await sleep(20)
  }
  return true
}

/** Windows has no signals for this: `pg_ctl` knows another way. */
async function stopByPgCtl(context: ServerContext): Promise<void> {
  const { command, args, options } = commandOf(context.launch, context.binaries.pgCtl, [
    ...['stop', '-D', context.folder.data, '-m', 'fast', '-w'],
  ])
  await once(spawn(command, args, { ...options, stdio: 'ignore', windowsHide: true }), 'exit')
}

async function shutDown(context: ServerContext, pid: number): Promise<void> {
  if (process.platform === 'win32') return stopByPgCtl(context)
  const { data } = context.folder
  if (findProcess(pid, data) !== 'server') return
  process.kill(pid, 'SIGINT')
  if (await isGoneWithin(context, pid, fastShutdownMs)) return
  context.log(
    `Postgres ${pid} did not stop in ${fastShutdownMs} ms: stopping it at once, it recovers at the next start`,
  )
  process.kill(pid, 'SIGQUIT')
  if (await isGoneWithin(context, pid, immediateShutdownMs)) return
  throw new EspalierError('EMBEDDED_POSTGRES_FAILED', `Postgres ${pid} on ${data} does not stop`, { pid })
}

export function createServerHandle(
  context: ServerContext,
  server: { readonly pid: number; readonly port: number; readonly adopted: boolean },
): EmbeddedPostgres {
  const callbacks: (() => void)[] = []
  let stopping: Promise<void> | null = null
  const watch = setInterval(() => {
    if (findProcess(server.pid, context.folder.data) !== 'gone') return
    clearInterval(watch)
    context.log(`Postgres ${server.pid} has ended`)
    for (const callback of callbacks) callback()
  }, watchEveryMs)
  watch.unref()
  return {
    ...server,
    url: urlOf(server.port, context.folder.password),
    stop() {
      clearInterval(watch)
      stopping ??= shutDown(context, server.pid)
      return stopping
    },
    onExit(callback) {
      callbacks.push(callback)
    },
  }
}
