import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError } from '@espalier/contracts'
import { type Configuration, childEnvironment } from '@espalier/runtime'
import { applyMigrations } from '@espalier/store'
import { choosePort } from './choose-port.js'
import { claimHome } from './claim-home.js'
import { ensureAdminKey } from './ensure-admin-key.js'
import { serviceRoles } from './find-role-main.js'
import { serviceFilesOf } from './service-home.js'
import type { ServiceLog } from './service-line.js'
import { type SupervisedDatabase, supervisePostgres } from './supervise-postgres.js'
import { type SupervisedRole, superviseRole } from './supervise-role.js'

/** A service that runs: database, all roles, and who looks after them. */
export interface RunningService {
  readonly url: string
  /** The admin key. */
  readonly key: string
  readonly keyFile: string
  /** Stops everything in order: API, dispatcher, workers, database. */
  stop(): Promise<void>
  /** Ends everything at once. */
  kill(): void
}

export interface ServiceOptions {
  readonly configuration: Configuration
  readonly log: ServiceLog
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal
}

/** Longest until all roles work, milliseconds. */
const readyWithinMs = 60_000

/**
 * Starts the whole service of a home in child processes and keeps it running: what ends unexpectedly is started again.
 * Resolves when the API answers and every role works.
 *
 * @throws EspalierError SERVICE_ALREADY_RUNNING, CONFIGURATION_INVALID (port taken), EMBEDDED_POSTGRES_FAILED,
 *   SERVICE_UNAVAILABLE (a role does not start)
 */
export async function startService({ configuration, log, signal }: ServiceOptions): Promise<RunningService> {
  const { home, host } = configuration
  const files = serviceFilesOf(home)
  const undo: (() => Promise<void>)[] = []
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  const state: { database: SupervisedDatabase | null; roles: SupervisedRole[] } = { database: null, roles: [] }
  const kill = () => {
    for (const role of state.roles) role.kill()
    state.database?.kill()
  }
  try {
    const claim = await claimHome(home)
    undo.push(() => claim.release())
    await mkdir(files.logs, { recursive: true, mode: 0o700 })
    const port = await choosePort(configuration.port, host)
    signal?.throwIfAborted()
    if (configuration.databaseUrl === null) {
      const database = await supervisePostgres(files.postgres, log)
      state.database = database
      undo.push(() => database.stop())
    }
    const databaseUrl = configuration.databaseUrl ?? state.database?.url ?? ''
    await applyMigrations(databaseUrl, { createDatabase: true })
    const key = await ensureAdminKey(databaseUrl, files.adminKey)
    signal?.throwIfAborted()
    const environment = roleEnvironment(configuration, databaseUrl, port)
    undo.push(() => stopInOrder(state.roles))
    for (const role of serviceRoles) {
      state.roles.push(superviseRole({ role, environment, logFile: join(files.logs, `${role}.log`), log }))
    }
    await waitUntilReady(state.roles, signal)
    const url = `http://${urlHost(host)}:${port}`
    await claim.publish(url)
    return { url, key, keyFile: files.adminKey, stop, kill }
  } catch (error) {
    await stop()
    throw error
  }
}

function roleEnvironment(configuration: Configuration, databaseUrl: string, port: number): NodeJS.ProcessEnv {
  return childEnvironment({
    DATABASE_URL: databaseUrl,
    ESPALIER_HOME: configuration.home,
    ESPALIER_ARTIFACTS: configuration.artifacts,
    ESPALIER_NODE: configuration.node,
    HOST: configuration.host,
    PORT: String(port),
  })
}

async function waitUntilReady(roles: readonly SupervisedRole[], signal: AbortSignal | undefined): Promise<void> {
  const done = new AbortController()
  const ends = signal === undefined ? done.signal : AbortSignal.any([done.signal, signal])
  const overdue = sleep(readyWithinMs, undefined, { signal: ends }).then(() => {
    throw new EspalierError('SERVICE_UNAVAILABLE', `The service did not start within ${readyWithinMs / 1000} s`)
  })
  try {
    await Promise.race([overdue, Promise.all(roles.map((role) => role.ready))])
  } finally {
    done.abort()
    overdue.catch(() => undefined)
  }
}

/** No new requests, then no new work, then the work under way, which is given back. */
async function stopInOrder(roles: readonly SupervisedRole[]): Promise<void> {
  const isFront = ({ role }: SupervisedRole) => role === 'api' || role === 'dispatcher'
  for (const role of roles.filter(isFront)) await role.stop()
  await Promise.all(roles.filter((role) => !isFront(role)).map((role) => role.stop()))
}

/** A service that listens everywhere is reached here by the loopback. */
function urlHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1'
  return host.includes(':') ? `[${host}]` : host
}
