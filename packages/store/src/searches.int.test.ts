import type { NewStep, SearchRecord, SearchSource } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { EventRow } from './records.js'
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

const unlimited = 10_000
const claimOptions = { workerId: 'w', leaseMs: 60_000 }

let database: TestDatabase
let store: Store

beforeAll(async () => {
  database = await createTestDatabase()
  store = database.store
})
afterAll(() => database.drop())

const statesOf = async (searchId: string) => (await store.searches.loadRecord(searchId)).steps.map((step) => step.state)

function eventsOf(search: { id: string; teamId: string }): Promise<readonly EventRow[]> {
  return store.events.listAfter(search.teamId, search.id, 0, unlimited)
}

describe('advance', () => {
  it('creates each step, policy and event once, though 20 call it at the same time', async () => {
    const { search } = await createTestSearch(store)
    const plan = () => planOf([evaluateStep(0), evaluateStep(1)])
    const advanced = await Promise.all(Array.from({ length: 20 }, () => store.searches.advance(search.id, plan)))
    expect(advanced.flatMap((one) => one?.created ?? [])).toHaveLength(2)
    expect(advanced.every((one) => one?.state === 'SEARCHING')).toBe(true)
    expect(await statesOf(search.id)).toEqual(['PENDING', 'PENDING'])
    expect((await store.policies.list(search.teamId, search.id)).items).toMatchObject([
      { keptUnits: [1, 0, 2, 16], origin: 'random', targetIndex: 0, perplexity: null, evaluations: [] },
      { keptUnits: [1, 1, 2, 16], origin: 'random', targetIndex: 0, perplexity: null, evaluations: [] },
    ])
    expect((await eventsOf(search)).map((event) => [event.type, event.data])).toEqual([
      ['state', { state: 'QUEUED', previous: null }],
      ['progress', plan().progress],
      ['state', { state: 'SEARCHING', previous: 'QUEUED' }],
    ])
  })

  it('writes nothing when nothing has changed', async () => {
    const { search } = await createSearchWithSteps(store, 2)
    const before = await store.searches.get(search.teamId, search.id)
    await store.searches.advance(search.id, () => planOf([evaluateStep(0), evaluateStep(1)]))
    expect(await store.searches.get(search.teamId, search.id)).toEqual(before)
  })

  it('misses no result, whichever of workers and planners is first', async () => {
    const count = 12
    const { search, stepIds } = await createSearchWithSteps(store, count)
    const plan = async ({ steps }: SearchSource) => {
      let done = 0
      for await (const step of steps) if (step.state === 'DONE') done++
      return planOf([], { state: done === count ? 'SUCCEEDED' : 'SEARCHING' })
    }
    // Each worker advances the search after its own result, as a wake would; the last one must see them all.
    await Promise.all(
      stepIds.map(async (stepId) => {
        const lease = await claimEvaluation(store, stepId, 'w')
        await store.steps.complete(lease, testEvaluation, { protocol: testProtocol })
        await store.searches.advance(search.id, plan)
      }),
    )
    expect(await store.searches.get(search.teamId, search.id)).toMatchObject({ state: 'SUCCEEDED' })
  })

  it('gives the plan what is recorded, in order, and keeps what the plan says', async () => {
    const { search, model, stepIds } = await createSearchWithSteps(store, 3)
    const lease = await claimEvaluation(store, String(stepIds[1]), 'w')
    await store.steps.complete(lease, testEvaluation, { protocol: testProtocol })
    let seen: SearchRecord | undefined
    const error = { code: 'SEARCH_FAILED', message: 'all evaluations failed', details: { failures: 3 } } as const
    await store.searches.advance(search.id, async ({ steps, ...source }) => {
      seen = { ...source, steps: [] }
      for await (const step of steps) seen = { ...seen, steps: [...seen.steps, step] }
      return planOf([], { state: 'FAILED', error })
    })
    expect(seen).toEqual({
      settings: search.settings,
      shape: model.shape,
      steps: [0, 1, 2].map((index) => ({
        ...evaluateStep(index),
        state: index === 1 ? 'DONE' : 'PENDING',
        result: index === 1 ? testEvaluation : null,
        error: null,
      })),
    })
    const failed = await store.searches.get(search.teamId, search.id)
    expect(failed).toMatchObject({ state: 'FAILED', error, startedAt: expect.any(Date), finishedAt: expect.any(Date) })
    expect(await statesOf(search.id)).toEqual(['CANCELLED', 'DONE', 'CANCELLED'])
    expect(await store.searches.advance(search.id, () => planOf([evaluateStep(9)]))).toBeUndefined()
  })

  it('knows which part of the agent a policy came from', async () => {
    const { search } = await createTestSearch(store)
    const propose: NewStep = { kind: 'propose', round: 0, index: 0, payload: { count: 1, incumbents: [] } }
    const created = await store.searches.advance(search.id, () => planOf([propose]))
    const lease = await store.steps.claim(String(created?.created[0]?.id), claimOptions)
    if (lease?.kind !== 'propose') throw new Error('no lease')
    const { payload } = evaluateStep(5)
    const policies = [{ keptUnits: payload.keptUnits, origin: 'evolution' as const }]
    await store.steps.complete(lease, { targets: [{ policies }], backend: 'wasm', seconds: 1 }, { generator: null })
    const step = { ...evaluateStep(5), payload: { ...payload, purpose: 'proposal' as const } }
    await store.searches.advance(search.id, () => planOf([propose, step]))
    expect((await store.policies.list(search.teamId, search.id)).items).toMatchObject([{ origin: 'evolution' }])
  })

  it('leaves everything as it was when the plan throws', async () => {
    const { search } = await createTestSearch(store)
    const plan = () => {
      throw new Error('no plan')
    }
    await expect(store.searches.advance(search.id, plan)).rejects.toThrow('no plan')
    await store.searches.fail(search.id, { code: 'INTERNAL', message: 'no plan', details: {} })
    expect(await store.searches.get(search.teamId, search.id)).toMatchObject({
      state: 'FAILED',
      error: { code: 'INTERNAL', message: 'no plan' },
    })
  })
})

describe('pause, resume and cancel', () => {
  it('starts nothing while paused, lets running work end, and goes on where it was', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 2)
    const { id, teamId } = search
    const running = await claimEvaluation(store, String(stepIds[0]), 'w')
    expect(await store.searches.requestPause(teamId, id)).toMatchObject({
      state: 'PAUSED',
      stateBeforePause: 'SEARCHING',
    })
    expect(await store.searches.listActive()).not.toContain(id)
    expect(await store.steps.claim(String(stepIds[1]), claimOptions)).toBeUndefined()
    expect(await store.searches.advance(id, () => planOf([evaluateStep(7)]))).toBeUndefined()
    expect(await store.steps.heartbeat(running, 60_000)).toBe('held')
    expect(await store.steps.complete(running, testEvaluation, { protocol: testProtocol })).toBe('recorded')
    await expect(store.searches.requestPause(teamId, id)).rejects.toMatchObject({ code: 'SEARCH_STATE_CONFLICT' })

    expect(await store.searches.requestResume(teamId, id)).toMatchObject({ state: 'SEARCHING', stateBeforePause: null })
    expect(await store.searches.listActive()).toContain(id)
    expect(await store.steps.claim(String(stepIds[1]), claimOptions)).toBeDefined()
    await expect(store.searches.requestResume(teamId, id)).rejects.toMatchObject({
      code: 'SEARCH_STATE_CONFLICT',
      message: expect.stringContaining('SEARCHING'),
    })
  })

  it('cancels what waits at once, what runs at its next heartbeat, and for good', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 3)
    const { id, teamId } = search
    const told = await claimEvaluation(store, String(stepIds[0]), 'told')
    const dead = await claimEvaluation(store, String(stepIds[1]), 'dead')
    await store.searches.requestPause(teamId, id)
    expect(await store.searches.requestCancel(teamId, id)).toMatchObject({
      state: 'CANCELLED',
      finishedAt: expect.any(Date),
    })
    expect(await statesOf(id)).toEqual(['RUNNING', 'RUNNING', 'CANCELLED'])
    expect(await store.steps.heartbeat(told, 60_000)).toBe('cancelled')
    await store.steps.release(told)
    await database.query(`UPDATE "Step" SET "leaseExpiresAt" = now() - interval '1 second' WHERE id = $1`, [
      dead.stepId,
    ])
    const { wake } = await store.steps.sweep({ staleWakeMs: 0 })
    expect(stepIds.some((stepId) => wake.evaluator.includes(stepId))).toBe(false)
    expect(await statesOf(id)).toEqual(['CANCELLED', 'CANCELLED', 'CANCELLED'])
    for (const request of ['requestPause', 'requestResume', 'requestCancel'] as const) {
      await expect(store.searches[request](teamId, id)).rejects.toMatchObject({ code: 'SEARCH_STATE_CONFLICT' })
    }
    const states = (await eventsOf(search)).flatMap((event) => (event.type === 'state' ? [event.data] : []))
    expect(states.slice(-2)).toEqual([
      { state: 'PAUSED', previous: 'SEARCHING' },
      { state: 'CANCELLED', previous: 'PAUSED' },
    ])
  })

  it('lets no step slip through a cancel that happens while steps are claimed', async () => {
    const { search, stepIds } = await createSearchWithSteps(store, 30)
    const claims = stepIds.map((stepId) => store.steps.claim(stepId, claimOptions))
    const [claimed] = await Promise.all([Promise.all(claims), store.searches.requestCancel(search.teamId, search.id)])
    const running = claimed.filter((lease) => lease !== undefined)
    const states = await statesOf(search.id)
    expect(states.filter((state) => state === 'RUNNING')).toHaveLength(running.length)
    expect(states.filter((state) => state === 'CANCELLED')).toHaveLength(stepIds.length - running.length)
  })
})

describe('lists', () => {
  it('pages through everything once, in order of creation, both ways', async () => {
    const team = await store.teams.ensureDefault()
    const { model } = await createTestSearch(store)
    const { id: teamId } = team
    const created = (await store.searches.list(teamId, { limit: unlimited })).items.map(({ id }) => id)
    for (let count = 0; count < 5; count++) {
      const { settings } = (await createTestSearch(store)).search
      created.push((await store.searches.list(teamId, { limit: unlimited })).items.at(-1)?.id ?? '')
      created.push((await store.searches.create({ teamId, modelId: model.id, settings })).id)
    }
    for (const newestFirst of [false, true]) {
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await store.searches.list(teamId, { limit: 4, cursor, newestFirst })
        expect(page.items.length).toBeLessThanOrEqual(4)
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor ?? undefined
      } while (cursor !== undefined)
      expect(seen).toEqual(newestFirst ? [...created].reverse() : created)
    }
    const all = await store.searches.list(teamId, { limit: created.length })
    expect(all.nextCursor).toBeNull()
  })
})

describe('events', () => {
  it('never lets a reader pass an event that appears later, though many write at once', async () => {
    const { search } = await createTestSearch(store)
    const total = 120
    const write = Promise.all(
      Array.from({ length: total }, (_, index) => store.events.append(search.id, { type: 'note', data: { index } })),
    )
    let writing = true
    const written = write.finally(() => {
      writing = false
    })
    const seen: number[] = []
    for (let last = false; !last; ) {
      last = !writing
      const events = await store.events.listAfter(search.teamId, search.id, seen.at(-1) ?? 0)
      seen.push(...events.map((event) => event.id))
    }
    await written
    expect(seen).toEqual((await eventsOf(search)).map((event) => event.id))
    expect(seen).toHaveLength(total + 1)
  })
})

describe('teams', () => {
  it('sees nothing of another team', async () => {
    const { search, model, stepIds } = await createSearchWithSteps(store, 1)
    const lease = await claimEvaluation(store, String(stepIds[0]), 'w')
    await store.steps.complete(lease, testEvaluation, { protocol: testProtocol })
    await database.query(`INSERT INTO "Team" (id, name) VALUES ('tea_other', 'other') ON CONFLICT DO NOTHING`)
    const other = 'tea_other'
    const notFound = { code: 'RESOURCE_NOT_FOUND' }
    await expect(store.searches.get(other, search.id)).rejects.toMatchObject(notFound)
    await expect(store.searches.requestCancel(other, search.id)).rejects.toMatchObject(notFound)
    await expect(store.searches.requestPause(other, search.id)).rejects.toMatchObject(notFound)
    await expect(store.models.get(other, model.id)).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    const { settings } = search
    const theft = store.searches.create({ teamId: other, modelId: model.id, settings })
    await expect(theft).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(await store.models.find(other, { path: model.path ?? '' })).toBeUndefined()
    for (const page of [
      await store.searches.list(other),
      await store.models.list(other),
      await store.policies.list(other, search.id),
      await store.evaluations.list(other, search.id),
    ]) {
      expect(page).toEqual({ items: [], nextCursor: null })
    }
    expect(await store.events.listAfter(other, search.id, 0)).toEqual([])
    expect(await store.artifacts.list(other, search.id)).toEqual([])
    expect(await store.searches.countSteps(other, search.id)).toEqual([])
    expect((await store.policies.list(search.teamId, search.id)).items).toMatchObject([{ perplexity: 20 }])
  })

  it('knows a key only by its hash, and a revoked one not at all', async () => {
    const teams = await Promise.all(Array.from({ length: 10 }, () => store.teams.ensureDefault()))
    expect(new Set(teams.map(({ id }) => id)).size).toBe(1)
    const { id: teamId } = await store.teams.ensureDefault()
    const { key, keyId } = await store.apiKeys.create({ teamId, name: 'admin' })
    expect(key).toMatch(/^esp_[\w-]{43}$/)
    expect(await store.apiKeys.find(key)).toEqual({ teamId, keyId })
    expect(await store.apiKeys.find(`${key}x`)).toBeUndefined()
    expect((await store.apiKeys.create({ teamId, name: 'admin', key })).keyId).toBe(keyId)
    const rows = await database.query('SELECT * FROM "ApiKey"')
    expect(JSON.stringify(rows)).not.toContain(key)
    await database.query('UPDATE "ApiKey" SET "revokedAt" = now() WHERE id = $1', [keyId])
    expect(await store.apiKeys.find(key)).toBeUndefined()
  })
})
