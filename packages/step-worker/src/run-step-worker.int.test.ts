import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createQueue, type WorkQueue } from '@espalier/queue'
import { applyMigrations, createStore, type Store } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { runStepWorker } from './run-step-worker.js'
import { config, createSearchOf, logger, outcome, statesOf, untilAll } from './step-worker.test-support.js'

/** A worker in a process of its own that says when it has claimed a step, and works on it for so long. */
const workerProcess = (workMs: number) => `
  import { createQueue } from '@espalier/queue'
  import { createLogger } from '@espalier/runtime'
  import { createStore } from '@espalier/store'
  import { runStepWorker } from '@espalier/step-worker'
  const databaseUrl = process.env.DATABASE_URL
  const evaluate = async () => {
    console.log('claimed')
    await new Promise((resolve) => setTimeout(resolve, ${workMs}))
    return ${JSON.stringify(outcome)}
  }
  await runStepWorker({
    role: 'evaluator', store: createStore({ databaseUrl }), queue: createQueue({ databaseUrl }),
    logger: createLogger('test', { logLevel: 'silent', node: 'test' }), config: ${JSON.stringify(config)},
    concurrency: 1, details: {}, processors: { evaluate },
  })`

describe('runStepWorker', () => {
  let store: Store
  let queue: WorkQueue
  let databaseUrl: string
  const children: ChildProcess[] = []

  beforeAll(async () => {
    const url = new URL(process.env.ESPALIER_TEST_DATABASE_URL ?? '')
    url.pathname = `/step_worker_${randomBytes(6).toString('hex')}`
    databaseUrl = url.href
    await applyMigrations(databaseUrl, { createDatabase: true })
    store = createStore({ databaseUrl })
    queue = createQueue({ databaseUrl })
  })
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    await queue.close()
    await store.close()
  })

  const workerThat = (evaluate: NonNullable<Parameters<typeof runStepWorker>[0]['processors']['evaluate']>) =>
    runStepWorker({
      role: 'evaluator',
      store,
      queue,
      logger,
      config,
      concurrency: 1,
      details: {},
      processors: { evaluate },
    })

  /** Starts a worker elsewhere and waits until it has claimed a step. */
  const claimElsewhere = async (workMs: number): Promise<ChildProcess> => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', workerProcess(workMs)], {
      cwd: import.meta.dirname,
      env: { ...process.env, NODE_OPTIONS: '', DATABASE_URL: databaseUrl },
    })
    children.push(child)
    await new Promise((resolve, reject) => {
      child.stdout?.once('data', resolve)
      child.once('exit', (code) => reject(new Error(`the worker ended with ${code}`)))
    })
    return child
  }

  it('finishes what a killed worker had claimed, within the lease and a little', async () => {
    const { searchId } = await createSearchOf(store, 1)
    const child = await claimElsewhere(600_000)
    child.kill('SIGKILL')
    const killed = performance.now()
    const tokens: number[] = []
    const worker = await workerThat(async (lease) => {
      tokens.push(lease.fencingToken)
      return outcome
    })
    await untilAll(store, searchId, 'DONE')
    expect(performance.now() - killed).toBeLessThan(10_000)
    expect(tokens).toEqual([2])
    expect(await store.evaluations.listForSearch(searchId)).toHaveLength(1)
    await worker.stop()
  })

  it('refuses the result of a worker that hung for longer than its lease', async () => {
    const { searchId } = await createSearchOf(store, 1)
    const child = await claimElsewhere(500)
    child.kill('SIGSTOP')
    const worker = await workerThat(async () => outcome)
    await untilAll(store, searchId, 'DONE')
    await worker.stop()
    child.kill('SIGCONT')
    const refused = async () => (await store.workers.list()).find(({ pid }) => pid === child.pid)?.refusedResults
    for (const end = performance.now() + 10_000; (await refused()) !== 1; ) {
      if (performance.now() > end) throw new Error(`${await refused()} results were refused`)
      await sleep(50)
    }
    expect(await store.evaluations.listForSearch(searchId)).toHaveLength(1)
    child.kill('SIGKILL')
  })

  it('stops the work on a search that is cancelled', async () => {
    const { teamId, searchId } = await createSearchOf(store, 2)
    const reasons: unknown[] = []
    const worker = await workerThat((_, { signal }) => {
      store.searches.requestCancel(teamId, searchId)
      return new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason.reason)
          reject(signal.reason)
        }),
      )
    })
    await untilAll(store, searchId, 'CANCELLED')
    expect(reasons).toEqual(['cancelled'])
    await worker.stop()
  })

  it('keeps the lease of a step that takes longer than it', async () => {
    const { searchId: id } = await createSearchOf(store, 1)
    let runs = 0
    const slow = async () => {
      runs++
      await sleep(3 * config.leaseMs)
      return outcome
    }
    const workers = [await workerThat(slow), await workerThat(slow)]
    await untilAll(store, id, 'DONE')
    expect(runs).toBe(1)
    await Promise.all(workers.map((worker) => worker.stop()))
  })

  it('tries a failure that may pass again, and gives up on one that will not', async () => {
    const { searchId: id } = await createSearchOf(store, 2)
    const attempts = new Map<number, number>()
    const worker = await workerThat(async (lease) => {
      attempts.set(lease.index, (attempts.get(lease.index) ?? 0) + 1)
      if (lease.index === 1) throw new Error('boom')
      if (attempts.get(0) === 1) throw new Error('once')
      return outcome
    })
    await untilAll(store, id, 'DONE', 'FAILED')
    expect((await statesOf(store, id)).sort()).toEqual(['DONE', 'FAILED'])
    expect([...attempts.entries()].sort()).toEqual([
      [0, 2],
      [1, 3],
    ])
    await worker.stop()
  })

  it('gives the step back at once when it stops', async () => {
    const { searchId: id } = await createSearchOf(store, 1)
    let claimed = () => {}
    const hasClaimed = new Promise<void>((resolve) => {
      claimed = resolve
    })
    const worker = await workerThat((_, { signal }) => {
      claimed()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await hasClaimed
    await worker.stop()
    expect(await statesOf(store, id)).toEqual(['PENDING'])
  })
})
