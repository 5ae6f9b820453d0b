import { type ChildProcess, fork } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { EspalierError } from '@espalier/contracts'
import { createBackoff } from './backoff.js'
import { findRoleMain, type ServiceRole } from './find-role-main.js'
import { findServiceLine, type ServiceLog } from './service-line.js'

/** A role's process, started again whenever it ends though nobody asked it to. */
export interface SupervisedRole {
  readonly role: ServiceRole
  /** Resolves when it works for the first time; rejects when it ends again and again before that. */
  readonly ready: Promise<void>
  /** Asks it to stop and waits; kills it when it takes too long. */
  stop(): Promise<void>
  /** Kills it at once. */
  kill(): void
}

export interface RoleOptions {
  readonly role: ServiceRole
  readonly environment: NodeJS.ProcessEnv
  /** All that the role writes is appended here. */
  readonly logFile: string
  readonly log: ServiceLog
}

/** A role that cannot start ends at once: after so many ends it is not going to. */
const mostFailedStarts = 5
/** Roles stop within 10 s by themselves, or end anyway. */
const killAfterMs = 12_000
const linesInError = 5

export function superviseRole({ role, environment, logFile, log }: RoleOptions): SupervisedRole {
  const main = findRoleMain(role)
  const output = createWriteStream(logFile, { flags: 'a', mode: 0o600 })
  const backoff = createBackoff()
  const ready = createDeferred()
  const ended = createDeferred()
  let child: ChildProcess | null = null
  let restart: NodeJS.Timeout | undefined
  let failedStarts = 0
  let isStopping = false
  let lastLines: string[] = []

  const end = () => {
    output.end()
    ended.resolve()
  }
  const onLine = (text: string) => {
    if (!output.writableEnded) output.write(`${text}\n`)
    const line = findServiceLine(role, text)
    lastLines = [...lastLines, line?.message ?? text].slice(-linesInError)
    if (line !== undefined) log(line)
  }
  const onExit = (how: string) => {
    child = null
    if (isStopping) return end()
    failedStarts++
    if (failedStarts >= mostFailedStarts) {
      ready.reject(
        new EspalierError(
          'SERVICE_UNAVAILABLE',
          `The ${role} does not start; its log is ${logFile}:\n${lastLines.join('\n')}`,
          { role, logFile },
        ),
      )
    }
    const pauseMs = backoff.next()
    log({ source: role, level: 'warn', message: `${how}; starts again in ${pauseMs / 1000} s` })
    restart = setTimeout(start, pauseMs)
  }
  const start = () => {
    backoff.started()
    // Apart from this process group: a Ctrl-C is for the supervisor, which stops roles in order. Should the supervisor
    // be killed, the channel closes, and roles end by themselves.
    const started = fork(main, [], {
      env: environment,
      detached: true,
      execArgv: [],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    child = started
    for (const stream of [started.stdout, started.stderr]) if (stream) createInterface(stream).on('line', onLine)
    started.once('message', () => {
      failedStarts = 0
      ready.resolve()
    })
    const onEnd = (how: string) => {
      if (child === started) onExit(how)
    }
    started.once('error', (error) => onEnd(`could not be started: ${error.message}`))
    started.once('close', (code, signal) =>
      onEnd(signal === null ? `ended with code ${code}` : `was ended by ${signal}`),
    )
  }
  start()
  ready.promise.catch(() => undefined)

  return {
    role,
    ready: ready.promise,
    async stop() {
      isStopping = true
      clearTimeout(restart)
      if (child === null) end()
      child?.kill('SIGTERM')
      const impatience = setTimeout(() => child?.kill('SIGKILL'), killAfterMs)
      await ended.promise
      clearTimeout(impatience)
    },
    kill() {
      isStopping = true
      clearTimeout(restart)
      child?.kill('SIGKILL')
    },
  }
}

function createDeferred() {
  let resolve: () => void = () => {}
  let reject: (reason: unknown) => void = () => {}
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
