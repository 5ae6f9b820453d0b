import { setTimeout as sleep } from 'node:timers/promises'
import type { RecordedError } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Store } from './store.js'
import {
  claimEvaluation,
  createSearchWithSteps,
  createTestDatabase,
  createTestSearch,
  evaluateStep,
  planOf,
  type TestDatabase,
  testEvaluation,
  testProtocol,
} from './store.test-support.js'

const leaseMs = 60_000
const worker = (name: string) => ({ workerId: name, leaseMs })
const effects = { protocol: testProtocol }
const failure: RecordedError = { code: 'EVALUATION_FAILED', message: 'out of memory', details: {} }

let database: TestDatabase
let store: Store

beforeAll(async () => {
  database = await createTestDatabase()
  store = database.store
})
afterAll(() => database.drop())

/** Moves the end of a lease into the past, as if the time had gone by. */
const expireLease = (stepId: string) =>
  database.query(`UPDATE "Step" SET "leaseExpiresAt" = now() - interval '1 second' WHERE id = $1`, [stepId])

const registerWorker = (id: string) =>
  store.workers.register({ id, role: 'evaluator', node: 'n', pid: 1, details: { threads: 2 } })

const findWorker = async (id: string) => (await store.workers.list()).find((row) => row.id === id)

async function stateOf(stepId: string): Promise<unknown> {
  const [row] = await database.query<{ state: string }>('SELECT state FROM "Step" WHERE id = $1', [stepId])
  return row?.state
}

describe('claim', () => {
  it('lets one of 100 concurrent claimers through and tells it all that the work needs', async () => {
    const { search, model, stepIds } = await createSearchWithSteps(store, 1)
    const claims = await Promise.all(
      Array.from({ length: 100 }, (_, index) => store.steps.claim(String(stepIds[0]), worker(`w${index}`))),
    )
    const leases = claims.filter((lease) => lease !== undefined)
    expect(leases).toHaveLength(1)
    expect(leases[0]).toMatchObject({
      searchId: search.id,
      kind: 'evaluate',
      round: 0,
      index: 0,
      fencingToken: 1,
      attempts: 1,
      payload: { keptUnits: [1, 0, 2, 16], purpose: 'random' },
      settings: search.settings,
      model: {
        ...{ id: model.id, name: model.name, path: model.path, source: null, revision: null },
        ...{ shape: model.shape, hash: null },
      },
    })
  })

  it('gives 40 concurrent claimers of a role 40 different steps, older search and lower index first', async () => {
    const first = await createSearchWithSteps(store, 25)
    const second = await createSearchWithSteps(store, 25)
    const leases = await Promise.all(
      Array.from({ length: 40 }, (_, index) => store.steps.claimNext('evaluator', worker(`n${index}`))),
    )
    const taken = leases.map((lease) => lease?.stepId)
    expect(new Set(taken)).toEqual(new Set([...first.stepIds, ...second.stepIds.slice(0, 15)]))
    expect(await store.steps.claimNext('predictor', worker('p'))).toBeUndefined()
    await store.searches.requestCancel(second.search.teamId, first.search.id)
    await store.searches.requestCancel(second.search.teamId, second.search.id)
  })

  it('gives neighbouring policies one after another, whatever their indices, and tells which follow', async () => {
    const { search } = await createTestSearch(store)
    const policies = [
      [2, 16, 2, 16],
      [1, 9, 2, 16],
      [2, 16, 1, 16],
      [1, 10, 2, 16],
      [1, 9, 1, 16],
      [2, 16, 2, 16],
    ]
    const steps = policies.map((keptUnits, index) => {
      const step = evaluateStep(index)
      const split = index === 4 ? 'test' : 'validation'
      const method = { metric: index === 5 ? 'fluctuation' : 'wanda', compensation: 'mean' } as const
      return { ...step, payload: { ...step.payload, keptUnits, split, method } } as const
    })
    await store.searches.advance(search.id, () => planOf(steps))
    const [dense, first, third, second] = policies
    const taken: unknown[] = []
    for (const following of [[], [second, third, dense], [third, dense], [dense], [], []]) {
      const lease = await store.steps.claimNext('evaluator', worker('w'))
      if (lease?.kind !== 'evaluate') throw new Error('no evaluation could be claimed')
      taken.push(lease.payload.keptUnits)
      expect(await store.steps.listFollowing(lease)).toEqual(following)
    }
    expect(taken).toEqual([policies[4], first, second, third, dense, dense])
    await store.searches.requestCancel(search.teamId, search.id)
  })

  it('gives a step away again only after its lease has run out by the clock of the database', async () => {
    const { stepIds } = await createSearchWithSteps(store, 1)
    const [stepId = ''] = stepIds
    await claimEvaluation(store, stepId, 'short', 400)
    expect(await store.steps.claim(stepId, worker('early'))).toBeUndefined()
    await sleep(500)
    expect(await store.steps.claim(stepId, worker('late'))).toMatchObject({ fencingToken: 2, attempts: 2 })
  })

  it('tells what keeps a worker from its step, as long as it holds it', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 1)
    const stepId = String(stepIds[0])
    const activity = async () => (await store.searches.loadRecord(search.id)).steps[0]?.activity
    const lost = await claimEvaluation(store, stepId, 'a', 1)
    await store.steps.reportActivity(lost, 'downloading 1 of 3 MB')
    expect(await activity()).toBe('downloading 1 of 3 MB')
    await sleep(50)
    const held = await claimEvaluation(store, stepId, 'b')
    expect(await activity()).toBeUndefined()
    await store.steps.reportActivity(lost, 'downloading 2 of 3 MB')
    expect(await activity()).toBeUndefined()
    await store.steps.reportActivity(held, 'downloading 3 of 3 MB')
    await store.steps.release(held)
    expect(await activity()).toBeUndefined()
  })

  it('names the model hash that the search prepared, even if the folder is registered anew', async () => {
    const { search, model } = await createTestSearch(store)
    const prepare = { kind: 'prepare', round: 0, index: 0, payload: {} } as const
    const created = await store.searches.advance(search.id, () => planOf([prepare]))
    const lease = await store.steps.claim(String(created?.created[0]?.id), worker('w'))
    if (lease?.kind !== 'prepare') throw new Error('no lease')
    const modelHash = 'a'.repeat(64)
    const split = { artifact: 'b'.repeat(64), textHash: 'c'.repeat(64), tokens: 100, windows: 6 }
    const result = {
      modelHash,
      calibration: 'e'.repeat(64),
      splits: { calibration: split, validation: split, test: split },
      seconds: 1,
    }
    const calibration = {
      ...{ key: 'f'.repeat(64), modelHash, dataHash: split.textHash },
      ...{ windowLength: 16, windows: 2, artifact: result.calibration },
    }
    expect(await store.steps.complete(lease, result, { calibration, shape: null })).toBe('recorded')
    expect((await store.models.get(model.teamId, model.id)).hash).toBe(modelHash)
    expect(await store.calibrations.find(model.teamId, calibration.key)).toEqual(calibration)
    expect(await store.steps.findResult(search.id, 'prepare', 0, 0)).toEqual(result)

    await store.models.create({ teamId: model.teamId, name: 'again', path: model.path ?? '', shape: model.shape })
    expect((await store.models.get(model.teamId, model.id)).hash).toBeNull()
    const next = await store.searches.advance(search.id, () =>
      planOf([prepare, { kind: 'train', round: 1, index: 0, payload: {} }]),
    )
    const train = await store.steps.claim(String(next?.created[0]?.id), worker('w'))
    expect(train?.model.hash).toBe(modelHash)
  })
})

describe('complete', () => {
  it('takes the result once: a repeated one changes nothing, a stale one is refused and counted', async () => {
    await registerWorker('slow')
    await registerWorker('quick')
    const { search, stepIds } = await createSearchWithSteps(store, 1)
    const [stepId = ''] = stepIds
    const slow = await claimEvaluation(store, stepId, 'slow')
    expect(await findWorker('slow')).toMatchObject({ currentStepId: stepId, alive: true })
    await expireLease(stepId)
    const quick = await claimEvaluation(store, stepId, 'quick')

    expect(await store.steps.heartbeat(slow, leaseMs)).toBe('lost')
    expect(await store.steps.complete(slow, { ...testEvaluation, perplexity: 1 }, effects)).toBe('refused')
    expect(await store.steps.fail(slow, failure, { retryable: false })).toBe('refused')
    await store.steps.release(slow)
    expect(await stateOf(stepId)).toBe('RUNNING')
    expect(await store.steps.complete(quick, testEvaluation, effects)).toBe('recorded')
    expect(await store.steps.complete(quick, testEvaluation, effects)).toBe('recorded')
    expect(await store.steps.complete(slow, { ...testEvaluation, perplexity: 1 }, effects)).toBe('refused')

    const evaluations = await store.evaluations.listForSearch(search.id)
    expect(evaluations).toHaveLength(1)
    expect(evaluations[0]).toMatchObject({
      ...{ stepId, perplexity: 20, nll: testEvaluation.nll, keptUnits: [1, 0, 2, 16], sparsity: 0.25 },
      ...{ purpose: 'random', protocol: testProtocol, workerId: 'quick', predicted: null, computeSeconds: 0.5 },
    })
    expect(await findWorker('slow')).toMatchObject({ doneSteps: 0, refusedResults: 3, currentStepId: null })
    expect(await findWorker('quick')).toMatchObject({ doneSteps: 1, refusedResults: 0, currentStepId: null })
  })

  it('takes the result of an expired lease that nobody else has claimed', async () => {
    const { stepIds } = await createSearchWithSteps(store, 1)
    const lease = await claimEvaluation(store, String(stepIds[0]), 'late')
    await expireLease(lease.stepId)
    expect(await store.steps.heartbeat(lease, leaseMs)).toBe('held')
    await expireLease(lease.stepId)
    expect(await store.steps.complete(lease, testEvaluation, effects)).toBe('recorded')
  })

  it('records exactly one of many results that arrive at the same time', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 1)
    const leases = []
    for (let attempt = 0; attempt < 5; attempt++) {
      leases.push(await claimEvaluation(store, String(stepIds[0]), `r${attempt}`))
      await expireLease(String(stepIds[0]))
    }
    const answers = await Promise.all(leases.map((lease) => store.steps.complete(lease, testEvaluation, effects)))
    expect(answers).toEqual(['refused', 'refused', 'refused', 'refused', 'recorded'])
    expect(await store.evaluations.listForSearch(search.id)).toMatchObject([{ workerId: 'r4' }])
  })
})

describe('fail and release', () => {
  it('tries a retryable failure again after the back-off, and not more often than allowed', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 1)
    const [stepId = ''] = stepIds
    const options = { retryable: true, maxAttempts: 2, backoffMs: 300 }
    expect(await store.steps.fail(await claimEvaluation(store, stepId, 'a'), failure, options)).toBe('retrying')
    expect(await store.steps.claim(stepId, worker('b'))).toBeUndefined()
    expect((await store.searches.loadRecord(search.id)).steps[0]).toMatchObject({ state: 'PENDING', error: null })
    await sleep(400)
    expect((await store.steps.sweep({ staleWakeMs: 60_000 })).wake.evaluator).toContain(stepId)
    expect(await store.steps.fail(await claimEvaluation(store, stepId, 'b'), failure, options)).toBe('failed')
    expect((await store.searches.loadRecord(search.id)).steps[0]).toMatchObject({ state: 'FAILED', error: failure })
    expect(await store.steps.claim(stepId, worker('c'))).toBeUndefined()
  })

  it('gives a released step back at once, uncounted, and takes no result for it any more', async () => {
    const { stepIds } = await createSearchWithSteps(store, 1)
    const [stepId = ''] = stepIds
    const lease = await claimEvaluation(store, stepId, 'leaving')
    await store.steps.release(lease)
    expect(await store.steps.complete(lease, testEvaluation, effects)).toBe('refused')
    expect((await store.steps.sweep({ staleWakeMs: 60_000 })).wake.evaluator).toContain(stepId)
    expect(await store.steps.claim(stepId, worker('next'))).toMatchObject({ attempts: 1, fencingToken: 2 })
  })
})

describe('sweep', () => {
  it('wakes a forgotten step once per interval, and an expired one at once, each once under concurrency', async () => {
    const { stepIds } = await createSearchWithSteps(store, 3)
    const [forgotten = '', expired = '', fresh = ''] = stepIds
    await database.query(`UPDATE "Step" SET "wokenAt" = now() - interval '1 minute' WHERE id = $1`, [forgotten])
    await claimEvaluation(store, expired, 'dead')
    await database.query(`UPDATE "Step" SET "wokenAt" = now() - interval '2 seconds' WHERE id = $1`, [expired])
    await expireLease(expired)

    const sweeps = await Promise.all(Array.from({ length: 6 }, () => store.steps.sweep({ staleWakeMs: 30_000 })))
    const woken = sweeps.flatMap((sweep) => sweep.wake.evaluator).filter((id) => stepIds.includes(id))
    expect(woken.sort()).toEqual([forgotten, expired].sort())
    expect(await stateOf(fresh)).toBe('PENDING')
  })

  it('gives up a step whose workers are lost again and again', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 1)
    const [stepId = ''] = stepIds
    for (let claim = 1; claim <= 6; claim++) {
      expect(await claimEvaluation(store, stepId, `victim${claim}`)).toMatchObject({ attempts: claim })
      await expireLease(stepId)
    }
    expect(await store.steps.claim(stepId, worker('victim7'))).toBeUndefined()
    const swept = await store.steps.sweep({ staleWakeMs: 0 })
    expect(swept.searches).toEqual([search.id])
    expect(swept.wake.evaluator).not.toContain(stepId)
    expect((await store.searches.loadRecord(search.id)).steps[0]).toMatchObject({
      state: 'FAILED',
      error: { code: 'WORKER_LOST' },
    })
  })
})

describe('listOpen', () => {
  it('gives the steps that have not ended, in order, of a search that is active', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 4)
    const [done = '', failed = '', running = ''] = stepIds
    await store.steps.complete(await claimEvaluation(store, done, 'w'), testEvaluation, { protocol: testProtocol })
    await store.steps.fail(await claimEvaluation(store, failed, 'w'), failure, { retryable: false })
    const lease = await claimEvaluation(store, running, 'w')
    await store.steps.reportActivity(lease, 'downloading')
    const step = { kind: 'evaluate', round: 0, state: 'PENDING', activity: null }
    expect(await store.steps.listOpen(search.id)).toEqual([
      { ...step, index: 2, state: 'RUNNING', activity: 'downloading' },
      { ...step, index: 3 },
    ])
    await store.steps.release(lease)
    expect(await store.steps.listOpen(search.id)).toEqual([
      { ...step, index: 2 },
      { ...step, index: 3 },
    ])
    await store.searches.requestPause(search.teamId, search.id)
    expect(await store.steps.listOpen(search.id)).toBeUndefined()
    await store.searches.requestResume(search.teamId, search.id)
    expect(await store.steps.listOpen(search.id)).toHaveLength(2)
    await store.searches.requestCancel(search.teamId, search.id)
    expect(await store.steps.listOpen(search.id)).toBeUndefined()
    expect(await store.steps.listOpen('sea_unknown')).toBeUndefined()
  })

  it('is empty for a search that nothing was planned for', async () => {
    const { search } = await createTestSearch(store)
    expect(await store.steps.listOpen(search.id)).toEqual([])
  })
})

describe('loadByRole', () => {
  it('counts what could start and who is there', async () => {
    const before = await store.steps.loadByRole()
    const { search, stepIds } = await createSearchWithSteps(store, 4)
    await claimEvaluation(store, String(stepIds[0]), 'busy')
    await registerWorker('there')
    await registerWorker('gone')
    await database.query(`UPDATE "Worker" SET "heartbeatAt" = now() - interval '20 seconds' WHERE id = 'gone'`)
    const { evaluator } = await store.steps.loadByRole()
    expect(evaluator).toEqual({
      pending: before.evaluator.pending + 3,
      running: before.evaluator.running + 1,
      liveWorkers: before.evaluator.liveWorkers + 1,
    })
    expect(await findWorker('gone')).toMatchObject({ alive: false })
    expect(await store.workers.removeDead(15_000)).toBe(1)
    expect(await store.workers.heartbeat('gone')).toBe(false)
    await store.searches.requestPause(search.teamId, search.id)
    expect((await store.steps.loadByRole()).evaluator.pending).toBe(before.evaluator.pending)
  })
})
