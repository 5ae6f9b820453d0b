import { randomBytes } from 'node:crypto'
import type { ModelShape, PrepareResult, RecordedError, SearchSettings, WorkerRole } from '@espalier/contracts'
import { createQueue, type WorkQueue } from '@espalier/queue'
import { createLogger } from '@espalier/runtime'
import {
  applyMigrations,
  createStore,
  type EvaluationProtocol,
  type Lease,
  type SearchRow,
  type Store,
} from '@espalier/store'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { type Advancer, createAdvancer } from './create-advancer.js'

const server = process.env.ESPALIER_TEST_DATABASE_URL ?? ''
const logger = createLogger('test', { logLevel: 'silent', node: 'test' })
const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 2, hiddenSize: 8, queryHeads: 2, kvHeads: 2, headDim: 4, ffnChannels: 16 },
  ...{ vocabularySize: 32, maxPositions: 64, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 2000, weightBytes: 8000 },
}
const settings: SearchSettings = {
  ...{ targets: [0.2, 0.5], budget: 24, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ windowLength: 16, calibrationWindows: 2, validationWindows: 2, finalWindows: null, finalists: 1 },
  ...{ minimumImprovement: 0, texts: { calibration: '/c.txt', validation: '/v.txt', test: '/t.txt' }, exports: [] },
}
const split = { artifact: 'a', textHash: 't', tokens: 128, windows: 8 }
const prepared: PrepareResult = {
  ...{ modelHash: 'm', calibration: 'c', seconds: 1 },
  splits: { calibration: split, validation: split, test: split },
}
const calibration = {
  ...{ modelHash: 'm', dataHash: 't', windowLength: 16, windows: 2, artifact: 'c' },
}
const measured = { logPerplexity: 3, perplexity: Math.exp(3), nll: [45, 45], tokens: 30, seconds: 0.1 }
const protocol: EvaluationProtocol = {
  ...{ windowLength: 16, windows: 2, dataHash: 't', modelHash: 'm', precision: 'fp32' },
  metric: 'wanda',
  compensation: 'mean',
  runtime: {},
}
const failure: RecordedError = { code: 'EVALUATION_FAILED', message: 'no', details: {} }

describe('the advancer', () => {
  const databaseUrl = new URL(server)
  let store: Store
  let queue: WorkQueue
  let client: pg.Client
  let search: SearchRow
  let dispatcher: Dispatcher

  /** An advancer as one dispatcher has it; `read` counts the steps that its plans have read. */
  interface Dispatcher extends Advancer {
    read: number
    plans: number
  }

  function startDispatcher(): Dispatcher {
    const searches: Store['searches'] = {
      ...store.searches,
      advance: (searchId, plan) => {
        dispatched.plans++
        return store.searches.advance(searchId, (source) => plan({ ...source, steps: counted(source.steps) }))
      },
    }
    async function* counted<T>(steps: AsyncIterable<T>): AsyncGenerator<T> {
      for await (const step of steps) {
        dispatched.read++
        yield step
      }
    }
    const dispatched = { ...createAdvancer({ store: { ...store, searches }, queue, logger }), read: 0, plans: 0 }
    return dispatched
  }

  beforeAll(async () => {
    databaseUrl.pathname = `/dispatcher_test_${randomBytes(6).toString('hex')}`
    await applyMigrations(databaseUrl.href, { createDatabase: true })
    store = createStore({ databaseUrl: databaseUrl.href })
    queue = createQueue({ databaseUrl: databaseUrl.href })
    client = new pg.Client({ connectionString: databaseUrl.href })
    await client.connect()
  })
  afterAll(async () => {
    await client.end()
    await queue.close()
    await store.close()
    const admin = new pg.Client({ connectionString: server })
    await admin.connect()
    await admin.query(`DROP DATABASE ${databaseUrl.pathname.slice(1)} WITH (FORCE)`)
    await admin.end()
  })
  beforeEach(async () => {
    await client.query('TRUNCATE "Search", "Worker" CASCADE')
    const { id: teamId } = await store.teams.ensureDefault()
    const model = await store.models.create({ teamId, name: 'tiny', path: '/models/tiny', shape })
    search = await store.searches.create({ teamId, modelId: model.id, settings })
    dispatcher = startDispatcher()
  })

  const look = () => store.searches.get(search.teamId, search.id)
  const advance = () => dispatcher.advance(search.id)
  /** Advances until that changes nothing, and counts from there. */
  async function settle(): Promise<void> {
    for (let before = -1; before !== dispatcher.plans; ) {
      before = dispatcher.plans
      await advance()
    }
    dispatcher.read = 0
    dispatcher.plans = 0
  }
  async function expectNothingPlanned(): Promise<void> {
    await advance()
    expect([dispatcher.plans, dispatcher.read]).toEqual([0, 0])
  }
  async function expectPlanned(): Promise<void> {
    await advance()
    expect(dispatcher.plans).toBe(1)
    expect(dispatcher.read).toBeGreaterThan(0)
    await settle()
  }
  async function claim(role: WorkerRole = 'evaluator', leaseMs = 60_000): Promise<Lease> {
    const lease = await store.steps.claimNext(role, { workerId: 'w', leaseMs })
    if (!lease) throw new Error(`there is no step for the ${role}`)
    return lease
  }
  async function prepare(): Promise<void> {
    const lease = await claim()
    if (lease.kind !== 'prepare') throw new Error('not a prepare step')
    const effects = { calibration: { key: `key of ${search.id}`, ...calibration }, shape: null }
    await store.steps.complete(lease, prepared, effects)
    await settle()
  }
  async function evaluate(lease: Lease): Promise<void> {
    if (lease.kind !== 'evaluate') throw new Error('not an evaluation')
    await store.steps.complete(lease, measured, { protocol })
  }

  it('reads no step again while nothing has changed, however often it looks', async () => {
    await settle()
    await expectNothingPlanned()
    await prepare()
    for (let time = 0; time < 3; time++) await expectNothingPlanned()
    expect((await store.searches.countSteps(search.teamId, search.id)).length).toBe(2)
  })

  it('plans when a step is claimed, given back, done, tried again and failed', async () => {
    await settle()
    const preparing = await claim()
    await expectPlanned()
    expect((await look()).state).toBe('PREPARING')
    await store.steps.release(preparing)
    await expectPlanned()
    expect((await look()).state).toBe('QUEUED')
    await prepare()

    const first = await claim()
    await expectPlanned()
    await evaluate(first)
    await expectPlanned()
    expect((await look()).progress?.evaluationsDone).toBe(1)

    const second = await claim()
    await expectPlanned()
    expect(await store.steps.fail(second, failure, { retryable: true })).toBe('retrying')
    await expectPlanned()
    await expectNothingPlanned()
    await client.query(`UPDATE "Step" SET "availableAt" = now() WHERE state = 'PENDING'`)
    const again = await store.steps.claim(second.stepId, { workerId: 'w', leaseMs: 60_000 })
    await expectPlanned()
    expect(again && (await store.steps.fail(again, failure, { retryable: false }))).toBe('failed')
    await expectPlanned()
  })

  it('plans when a step was claimed, given up and claimed by another between two looks', async () => {
    await settle()
    await prepare()
    const { stepId } = await claim('evaluator', 0)
    await settle()
    const next = await store.steps.claim(stepId, { workerId: 'other', leaseMs: 60_000 })
    await expectNothingPlanned()
    if (next) await evaluate(next)
    await expectPlanned()
    expect((await look()).progress?.evaluationsDone).toBe(1)
  })

  it('goes on to the next phase when the last evaluation ends, and ends with a step that was given up', async () => {
    await settle()
    await prepare()
    for (;;) {
      const lease = await store.steps.claimNext('evaluator', { workerId: 'w', leaseMs: 60_000 })
      if (!lease) break
      await evaluate(lease)
    }
    await expectPlanned()
    const { stepId } = await claim('predictor', 0)
    await settle()
    await client.query('UPDATE "Step" SET attempts = 100 WHERE id = $1', [stepId])
    expect((await store.steps.sweep({ staleWakeMs: 60_000 })).searches).toEqual([search.id])
    await advance()
    expect(await look()).toMatchObject({ state: 'FAILED', error: { code: 'WORKER_LOST' } })
  })

  it('tells why a search waits although there is nothing to plan', async () => {
    await settle()
    expect((await look()).waitReason).toBe('no evaluator worker is running')
    const worker = await store.workers.register({ role: 'evaluator', node: 'n', pid: 1, details: {} })
    await expectNothingPlanned()
    expect((await look()).waitReason).toBeNull()
    await store.workers.remove(worker)
    await expectNothingPlanned()
    expect((await look()).waitReason).toBe('no evaluator worker is running')
    const lease = await claim()
    await settle()
    await store.steps.reportActivity(lease, 'downloading')
    await expectNothingPlanned()
    expect((await look()).waitReason).toBe('downloading')
  })

  it('leaves a paused search alone, and sees after it was resumed what ended meanwhile', async () => {
    await settle()
    await prepare()
    const lease = await claim()
    await settle()
    await store.searches.requestPause(search.teamId, search.id)
    await evaluate(lease)
    await advance()
    expect(await look()).toMatchObject({ state: 'PAUSED', waitReason: null })
    await store.searches.requestResume(search.teamId, search.id)
    await advance()
    expect(await look()).toMatchObject({ state: 'SEARCHING', progress: { evaluationsDone: 1 } })
    await settle()
    await store.searches.requestPause(search.teamId, search.id)
    await store.searches.requestResume(search.teamId, search.id)
    await advance()
    expect((await look()).waitReason).toBe('no evaluator worker is running')
    await store.searches.requestCancel(search.teamId, search.id)
    await advance()
    expect(await look()).toMatchObject({ state: 'CANCELLED', waitReason: null })
  })

  it('plans anew after a restart, after a plan that was not written, and what another dispatcher has planned', async () => {
    await settle()
    const other = startDispatcher()
    await other.advance(search.id)
    expect([other.plans, other.read]).toEqual([1, 1])
    const lease = await claim()
    if (lease.kind !== 'prepare') throw new Error('not a prepare step')
    const effects = { calibration: { key: `key of ${search.id}`, ...calibration }, shape: null }
    await store.steps.complete(lease, prepared, effects)
    await other.advance(search.id)
    await expectPlanned()

    await evaluate(await claim())
    await client.query('ALTER TABLE "Search" RENAME COLUMN progress TO hidden')
    await expect(advance()).rejects.toThrow()
    await client.query('ALTER TABLE "Search" RENAME COLUMN hidden TO progress')
    await advance()
    expect((await look()).progress?.evaluationsDone).toBe(1)
  })

  it('remembers only searches that are active', async () => {
    await settle()
    dispatcher.keepOnly([search.id])
    await expectNothingPlanned()
    dispatcher.keepOnly([])
    await expectPlanned()
  })
})
