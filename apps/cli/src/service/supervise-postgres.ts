import { setTimeout as sleep } from 'node:timers/promises'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@espalier/embedded'
import { createBackoff } from './backoff.js'
import type { ServiceLog } from './service-line.js'

/** The database of a service, kept running on one port. */
export interface SupervisedDatabase {
  /** Connection string; stays the same. */
  readonly url: string
  stop(): Promise<void>
  /** Ends it at once; it recovers at the next start. */
  kill(): void
}

/** Starts the embedded Postgres of a folder and starts it again, on the same port, whenever it ends. */
export async function supervisePostgres(directory: string, log: ServiceLog): Promise<SupervisedDatabase> {
  const say = (level: 'info' | 'warn' | 'error', message: string) => log({ source: 'postgres', level, message })
  const backoff = createBackoff()
  const stopping = new AbortController()
  let restarting: Promise<void> = Promise.resolve()
  let server: EmbeddedPostgres

  const start = async (port?: number) => {
    backoff.started()
    server = await startEmbeddedPostgres({
      directory,
      ...(port === undefined ? {} : { port }),
      log: (line) => say('info', line),
    })
    server.onExit(() => {
      restarting = startAgain(server.port)
    })
  }
  const startAgain = async (port: number) => {
    while (!stopping.signal.aborted) {
      const pauseMs = backoff.next()
      say('warn', `has ended; starts again in ${pauseMs / 1000} s`)
      await sleep(pauseMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        return await start(port)
      } catch (error) {
        say('error', error instanceof Error ? error.message : String(error))
      }
    }
  }
  await start()
  return {
    get url() {
      return server.url
    },
    async stop() {
      stopping.abort()
      await restarting
      await server.stop()
    },
    kill() {
      stopping.abort()
      // SIGQUIT is Postgres' immediate shutdown: its processes end with it, which SIGKILL does not ensure
      if (process.platform !== 'win32') process.kill(server.pid, 'SIGQUIT')
    },
  }
}
