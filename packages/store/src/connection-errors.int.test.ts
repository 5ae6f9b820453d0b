import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { isConnectionError } from './connection-errors.js'
import { createStore } from './create-store.js'
import { type Database, openDatabase, type Queryable } from './database.js'
import { createTestDatabase, planOf, type TestDatabase } from './store.test-support.js'

let test: TestDatabase
let database: Database

beforeAll(async () => {
  test = await createTestDatabase({ poolSize: 4 })
  database = openDatabase({ databaseUrl: test.url, poolSize: 2 })
})
afterAll(async () => {
  await database.close()
  await test.drop()
})

/** Ends every connection of the store, as a restart of the server does. */
const cutConnections = () =>
  test.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'espalier'`)

const ask = (queryable: Queryable) => queryable.$queryRaw`SELECT 1`

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error) => error,
  )

describe('a lost connection', () => {
  it('is replaced when it was idle, and nothing but the call that used it fails', async () => {
    await Promise.all(Array.from({ length: 8 }, () => test.store.ping()))
    await cutConnections()
    await sleep(100)
    await test.store.ping()
  })

  it.each<[string, () => Promise<unknown>]>([
    [
      'between two queries of a transaction',
      () =>
        database.transaction(async (tx) => {
          await ask(tx)
          await cutConnections()
          await sleep(100)
          await ask(tx)
        }),
    ],
    [
      'before the commit',
      () =>
        database.transaction(async (tx) => {
          await ask(tx)
          await cutConnections()
          await sleep(100)
        }),
    ],
    [
      'in the middle of a query',
      async () => {
        const query = errorOf(database.client.$queryRaw`SELECT pg_sleep(10)`)
        await sleep(200)
        await cutConnections()
        throw await query
      },
    ],
  ])('is known for what it is: %s', async (_when, lose) => {
    expect(isConnectionError(await errorOf(lose()))).toBe(true)
    await ask(database.client)
  })

  it('is known for what it is: no server there', async () => {
    const nowhere = createStore({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none' })
    for (const call of [
      () => nowhere.teams.ensureDefault(),
      () => nowhere.steps.claim('x', { workerId: 'w', leaseMs: 1 }),
      () => nowhere.searches.advance('x', () => planOf([])),
    ]) {
      expect(isConnectionError(await errorOf(call()))).toBe(true)
    }
    expect(await errorOf(nowhere.ping())).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    await nowhere.close()
  })

  it('is not what other errors are', async () => {
    expect(isConnectionError(await errorOf(test.store.searches.get('t', 'none')))).toBe(false)
    expect(isConnectionError(await errorOf(database.client.$queryRaw`SELECT 1 / 0`))).toBe(false)
    expect(isConnectionError(await errorOf(test.store.events.append('none', { type: 'x', data: {} })))).toBe(false)
  })
})
