import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createQueue } from '@espalier/queue'
import { createLogger } from '@espalier/runtime'
import { applyMigrations, createStore, type Store } from '@espalier/store'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import pg from 'pg'
import type { Api } from './api.js'
import { createApp } from './app.js'
import { type ApiServices, serviceDefaults } from './services.js'

export const demoModel = resolve(import.meta.dirname, '../../../models/demo')

/** The API of one test file over a database of its own, on the Postgres that jest.global-setup.mjs provides. */
export interface TestApi {
  readonly api: Api
  readonly store: Store
  readonly services: ApiServices
  readonly databaseUrl: string
  /** Team and key that `request` uses. */
  readonly teamId: string
  readonly key: string
  readonly home: string
  /** With the key unless the headers have one; an object becomes a JSON body. */
  request(method: 'GET' | 'POST' | 'PUT', url: string, options?: InjectOptions): Promise<LightMyRequestResponse>
  /** Another team with a key. */
  addTeam(name: string): Promise<{ teamId: string; key: string }>
  /** What no method of the store does. */
  sql(statement: string): Promise<void>
  close(): Promise<void>
}

export async function createTestApi(changes: Partial<ApiServices> = {}): Promise<TestApi> {
  const databaseUrl = newDatabaseUrl()
  await applyMigrations(databaseUrl, { createDatabase: true })
  const home = await mkdtemp(join(tmpdir(), 'espalier-api-'))
  const store = createStore({ databaseUrl })
  const queue = createQueue({ databaseUrl })
  const services: ApiServices = {
    ...serviceDefaults,
    store,
    queue,
    artifacts: join(home, 'artifacts'),
    uploads: join(home, 'uploads'),
    // Nothing answers there: tests of the hub start their own.
    hub: { home: join(home, 'huggingface'), archives: join(home, 'archives'), endpoint: 'http://127.0.0.1:9' },
    version: '0.0.0-test',
    ...changes,
  }
  const api = await createApp(services, createLogger('api', { logLevel: 'silent', node: 'test' }))
  const { id: teamId } = await store.teams.ensureDefault()
  const { key } = await store.apiKeys.create({ teamId, name: 'test' })
  return {
    ...{ api, store, services, databaseUrl, teamId, key, home },
    request: (method, url, { headers, ...rest } = {}) =>
      api.inject({ method, url, headers: { authorization: `Bearer ${key}`, ...headers }, ...rest }),
    async addTeam(name) {
      const id = `tea_${name}`
      await query(databaseUrl, 'INSERT INTO "Team" (id, name) VALUES ($1, $2)', [id, name])
      return { teamId: id, ...(await store.apiKeys.create({ teamId: id, name })) }
    },
    sql: (statement) => query(databaseUrl, statement),
    async close() {
      await api.close()
      await queue.close()
      await store.close()
      await dropDatabase(databaseUrl)
      await rm(home, { recursive: true })
    },
  }
}

function newDatabaseUrl(): string {
  const server = process.env.ESPALIER_TEST_DATABASE_URL
  if (server === undefined) throw new Error('ESPALIER_TEST_DATABASE_URL is not set: run the tests with jest')
  const url = new URL(server)
  url.pathname = `/api_test_${randomBytes(6).toString('hex')}`
  return url.href
}

async function query(databaseUrl: string, sql: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  await client.query(sql, values)
  await client.end()
}

async function dropDatabase(databaseUrl: string): Promise<void> {
  const server = new URL(databaseUrl)
  const name = server.pathname.slice(1)
  server.pathname = '/postgres'
  await query(server.href, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`)
}
