import type {
  EarlierEvaluation,
  ModelShape,
  NewStep,
  PrepareResult,
  SearchSettings,
  StepResult,
} from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Lease, SearchRow, StepEffects } from './records.js'
import type { Store } from './store.js'
import {
  createTestDatabase,
  createTestSearch,
  evaluateStep,
  planOf,
  type TestDatabase,
  testEvaluation,
  testProtocol,
} from './store.test-support.js'

let database: TestDatabase
let store: Store
let settings: SearchSettings
let modelId: string

beforeAll(async () => {
  database = await createTestDatabase()
  store = database.store
  const { search } = await createTestSearch(store)
  settings = search.settings
  modelId = search.modelId
})
afterAll(() => database.drop())

const hash = (digit: string) => digit.repeat(64)
const protocolOf = (model: string, text: string): PrepareResult => {
  const split = { artifact: hash('e'), textHash: hash(text), tokens: 64, windows: 4 }
  const splits = { calibration: split, validation: split, test: split }
  return { modelHash: hash(model), calibration: hash('f'), splits, seconds: 1 }
}
const calibration = {
  ...{ key: 'k', modelHash: hash('1'), dataHash: hash('2'), windowLength: 16, windows: 2, artifact: hash('f') },
}

async function create(change: Partial<SearchSettings> = {}, of: { teamId?: string; modelId?: string } = {}) {
  const team = await store.teams.ensureDefault()
  return store.searches.create({
    ...{ teamId: team.id, modelId, ...of },
    settings: { ...settings, transfer: 'same-model', ...change },
  })
}

/** Creates these steps and gives each its result. */
async function perform({ id }: SearchRow, steps: readonly (readonly [NewStep, StepResult])[]): Promise<void> {
  const advanced = await store.searches.advance(id, () => planOf(steps.map(([step]) => step)))
  for (const { id: stepId } of advanced?.created ?? []) {
    const lease = await store.steps.claim(stepId, { workerId: 'w', leaseMs: 60_000 })
    if (!lease) throw new Error(`step ${stepId} could not be claimed`)
    const [, result] = steps.find(([{ kind, index }]) => kind === lease.kind && index === lease.index) ?? []
    const effects = lease.kind === 'prepare' ? { calibration } : { protocol: testProtocol }
    await store.steps.complete(lease as Lease<'evaluate'>, result as never, effects as StepEffects<'evaluate'>)
  }
}

const prepare = (search: SearchRow, model: string, text = '2', precision?: 'fp16') => {
  const step: NewStep = { kind: 'prepare', round: 0, index: 0, payload: {} }
  return perform(search, [[step, { ...protocolOf(model, text), ...(precision ? { precision } : {}) }]])
}

/** Evaluations with these indices, which are also the kept units of a module, the later the better. */
const evaluate = (
  search: SearchRow,
  indices: readonly number[],
  change: Partial<NewStep<'evaluate'>['payload']> = {},
) =>
  perform(
    search,
    indices.map((index) => {
      const step = evaluateStep(index)
      return [
        { ...step, payload: { ...step.payload, ...change } },
        { ...testEvaluation, logPerplexity: 4 - index / 1000 },
      ] as const
    }),
  )

/** What the search is planned with. */
async function earlierOf({ id }: SearchRow): Promise<readonly EarlierEvaluation[] | undefined> {
  let seen: readonly EarlierEvaluation[] | undefined
  await store.searches.advance(id, (source) => {
    seen = source.earlier
    return planOf([])
  })
  return seen
}
const indicesOf = (earlier: readonly EarlierEvaluation[] | undefined) =>
  earlier?.map(({ payload }) => payload.keptUnits[1])

describe('what a search starts from', () => {
  it('is all that the team measured of the model by the same protocol, fixed once the search is prepared', async () => {
    const first = await create({ transfer: 'none' })
    await prepare(first, '1')
    await evaluate(first, [0, 1])
    const second = await create()
    expect(await earlierOf(second)).toBeUndefined()
    await evaluate(first, [2, 3])
    await prepare(second, '1')
    const earlier = await earlierOf(second)
    expect(indicesOf(earlier)).toEqual([0, 1, 2, 3])
    expect(earlier?.[1]).toEqual({
      payload: { ...evaluateStep(1).payload, method: { metric: 'wanda', compensation: 'mean' } },
      result: { ...testEvaluation, logPerplexity: 4 - 1 / 1000 },
    })

    await evaluate(first, [4])
    expect(await earlierOf(second)).toEqual(earlier)
    await evaluate(second, [5])
    expect(await earlierOf(second)).toEqual(earlier)
    expect((await store.searches.loadRecord(second.id)).earlier).toEqual(earlier)
    expect((await store.searches.loadRecord(first.id)).earlier).toBeUndefined()

    const third = await create()
    await prepare(third, '1')
    expect(indicesOf(await earlierOf(third))).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('is nothing of another team, model, text, precision, window, method or split', async () => {
    const team = 'tea_other'
    await database.query(`INSERT INTO "Team" (id, name) VALUES ($1, 'other')`, [team])
    const { shape } = await store.models.get((await store.teams.ensureDefault()).id, modelId)
    const model = await store.models.create({ teamId: team, name: 'tiny', path: '/models/theirs', shape })
    const theirs = await create({}, { teamId: team, modelId: model.id })
    const searches = [
      [theirs, () => prepare(theirs, '3')],
      ...(await Promise.all(
        [
          [create(), '4', '2'],
          [create(), '3', '9'],
          [create({ windowLength: 8 }), '3', '2'],
          [create({ validationWindows: 3 }), '3', '2'],
          [create({ calibrationWindows: 3 }), '3', '2'],
          [create({ metric: 'magnitude' }), '3', '2'],
          [create({ compensation: 'none' }), '3', '2'],
        ].map(async ([search, model, text]) => {
          const row = (await search) as SearchRow
          return [row, () => prepare(row, model as string, text as string)] as const
        }),
      )),
    ] as const
    for (const [search, prepared] of searches) {
      await prepared()
      await evaluate(search, [7])
    }
    const half = await create()
    await prepare(half, '3', '2', 'fp16')
    await evaluate(half, [7])
    const tested = await create()
    await prepare(tested, '3')
    await evaluate(tested, [7], { split: 'test' })
    await evaluate(tested, [8], { purpose: 'final' })

    const own = await create()
    await prepare(own, '3')
    expect(await earlierOf(own)).toBeUndefined()
    const open = await create({ metric: 'auto' })
    await prepare(open, '3')
    expect(indicesOf(await earlierOf(open))).toEqual([7])
  })

  it('is nothing where it was switched off, for other agents, and for a search that was already measuring', async () => {
    const first = await create()
    await prepare(first, '5')
    await evaluate(first, [0])
    for (const change of [{ transfer: 'none' }, { agent: 'random' }] as const) {
      const search = await create(change)
      await prepare(search, '5')
      expect(await earlierOf(search)).toBeUndefined()
    }
    await evaluate(await create({}), [1])
    expect(await earlierOf(first)).toBeUndefined()
  })

  it('has each policy once and a bounded number: what defines the predictor, the best, the newest', async () => {
    const first = await create()
    await prepare(first, '6')
    await evaluate(first, [0], { purpose: 'dense', targetIndex: null })
    await evaluate(first, [1], { targetIndex: null })
    const others = Array.from({ length: 99 }, (_, index) => index + 2)
    await evaluate(first, others)
    const again = await create({ transfer: 'none' })
    await prepare(again, '6')
    await evaluate(again, [0, 50, 100])

    const search = await create()
    await prepare(search, '6')
    const indices = indicesOf(await earlierOf(search))
    // Two layers, four modules, sixteen evaluations each.
    expect(indices).toHaveLength(64)
    expect(new Set(indices).size).toBe(64)
    expect(indices).toContain(0)
    expect(indices).not.toContain(1)
    expect(indices).toEqual(expect.arrayContaining([95, 96, 97, 98, 99, 100]))
  })
})

describe('the related model that a search starts from', () => {
  /** An ended search of a model of its own with a predictor of two rounds. */
  async function createTrained(architecture: ModelShape['architecture'], teamId: string, name: string) {
    const { shape } = await store.models.get((await store.teams.ensureDefault()).id, modelId)
    const model = await store.models.create({
      teamId,
      name,
      path: `/models/${name}`,
      shape: { ...shape, architecture },
    })
    const search = await create({}, { teamId, modelId: model.id })
    for (const round of [1, 2]) {
      const advanced = await store.searches.advance(search.id, () =>
        planOf([{ kind: 'train', round, index: 0, payload: {} }]),
      )
      const lease = await store.steps.claim(String(advanced?.created[0]?.id), { workerId: 'w', leaseMs: 60_000 })
      if (lease?.kind !== 'train') throw new Error('no lease')
      const predictor = { parameters: { name, round }, onnx: new Uint8Array(1), summary: {} }
      await store.steps.complete(lease, { evaluations: 9, residualSamples: 0, noise: 0.1, seconds: 1 }, { predictor })
    }
    await store.searches.advance(search.id, () => planOf([], { state: 'SUCCEEDED' }))
    return model
  }

  async function relatedOf(change: Partial<SearchSettings>, of: { teamId?: string; modelId?: string }, model: string) {
    const search = await create(change, of)
    await prepare(search, model)
    await earlierOf(search)
    return store.predictors.findRelated(search.id)
  }

  it('is of the same team and architecture, last trained, and stays', async () => {
    const teamId = 'tea_family'
    await database.query(`INSERT INTO "Team" (id, name) VALUES ($1, 'family')`, [teamId])
    const [, , own] = [
      await createTrained('llama', (await store.teams.ensureDefault()).id, 'of-others'),
      await createTrained('qwen2', teamId, 'stranger'),
      await createTrained('llama', teamId, 'sibling'),
    ]
    const { shape } = await store.models.get(teamId, own.id)
    const model = await store.models.create({ teamId, name: 'new', path: '/models/new', shape })
    const of = { teamId, modelId: model.id }
    expect(await relatedOf({ transfer: 'same-model' }, of, '7')).toBeUndefined()
    const search = await create({ transfer: 'auto' }, of)
    await prepare(search, '7')
    expect(await store.predictors.findRelated(search.id)).toBeUndefined()
    expect(await earlierOf(search)).toBeUndefined()
    expect(await store.predictors.findRelated(search.id)).toEqual({ name: 'sibling', round: 2 })

    await createTrained('llama', teamId, 'younger')
    await earlierOf(search)
    expect(await store.predictors.findRelated(search.id)).toEqual({ name: 'sibling', round: 2 })
    expect(await relatedOf({ transfer: 'auto' }, of, '7')).toEqual({ name: 'younger', round: 2 })
    expect(await relatedOf({ transfer: 'auto' }, { teamId, modelId: own.id }, '8')).toEqual({
      name: 'sibling',
      round: 2,
    })
  })

  it('is none where the team has measured the model itself', async () => {
    const first = await create({ transfer: 'none' })
    await prepare(first, '9')
    await evaluate(first, [0])
    expect(await relatedOf({ transfer: 'auto' }, {}, '9')).toBeUndefined()
  })
})
