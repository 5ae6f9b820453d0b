import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@espalier/embedded'
import { createQueue } from '@espalier/queue'
import { applyMigrations, createStore } from '@espalier/store'
import { afterAll, expect, it } from '@jest/globals'
import { runStepWorker } from './run-step-worker.js'
import { config, createSearchOf, logger, outcome, untilAll } from './step-worker.test-support.js'

const directory = mkdtempSync(join(tmpdir(), 'espalier-lost-database-'))
let postgres: EmbeddedPostgres | undefined

afterAll(async () => {
  await postgres?.stop()
  rmSync(directory, { recursive: true, force: true })
})

it('loses no result when Postgres is killed while a step is worked on, and goes on with the next ones', async () => {
  postgres = await startEmbeddedPostgres({ directory })
  const { url: databaseUrl, port, pid } = postgres
  await applyMigrations(databaseUrl)
  const store = createStore({ databaseUrl })
  const queue = createQueue({ databaseUrl })
  const { searchId } = await createSearchOf(store, 3)

  const performed: { index: number; fencingToken: number }[] = []
  let finish = () => {}
  const worker = await runStepWorker({
    role: 'evaluator',
    store,
    queue,
    logger,
    config,
    concurrency: 1,
    details: {},
    processors: {
      async evaluate({ index, fencingToken }) {
        performed.push({ index, fencingToken })
        if (index === 1) {
          await new Promise<void>((resolve) => {
            finish = resolve
          })
        }
        return outcome
      },
    },
  })
  while (performed.length < 2) await sleep(20)
  process.kill(pid, 'SIGKILL')
  await sleep(config.leaseMs + 500)
  finish()
  await sleep(1_000)
  postgres = await startEmbeddedPostgres({ directory, port })
  await untilAll(store, searchId, 'DONE')

  // done once each, with the first claim, although the lease ran out while the database was away
  expect(performed).toEqual([0, 1, 2].map((index) => ({ index, fencingToken: 1 })))
  expect(await store.evaluations.listForSearch(searchId)).toHaveLength(3)
  await worker.stop()
  await queue.close()
  await store.close()
})
