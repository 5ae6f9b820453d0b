import { randomBytes } from 'node:crypto'
import { type NewStep, type SearchPlan, type SearchSettings, scoreResultSchema } from '@espalier/contracts'
import type { Predictor } from '@espalier/predictor'
import { createRandomGenerator, randomPolicy } from '@espalier/pruning'
import { applyMigrations, createStore, type Lease, type Store } from '@espalier/store'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { KeptPredictor } from './kept-predictor.js'
import { model, shape, trainDemoPredictor } from './predictor-worker.test-support.js'
import { processScore } from './process-score.js'

const server = process.env.ESPALIER_TEST_DATABASE_URL ?? ''
const settings: SearchSettings = {
  ...{ targets: [0.2, 0.5], budget: 60, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ windowLength: 16, calibrationWindows: 2, validationWindows: 2, finalWindows: null, finalists: 3 },
  ...{ minimumImprovement: 0, texts: { calibration: '/c.txt', validation: '/v.txt', test: '/t.txt' }, exports: [] },
}

/** A plan that wants one step and nothing else. */
function planOf(step: NewStep): SearchPlan {
  const state = 'SEARCHING'
  const counts = { round: 1, rounds: 1, evaluationsDone: 0, evaluationsBudget: settings.budget, fraction: 0 }
  const progress = { state, ...counts, densePerplexity: null, targets: [], predictorError: null } as const
  return { state, steps: [step], progress, result: null, error: null }
}

describe('processScore', () => {
  const databaseUrl = new URL(server)
  const random = createRandomGenerator(5)
  const proposed = [0.2, 0.5].map((sparsity) => ({
    policies: Array.from({ length: 20 }, () => ({
      keptUnits: [...randomPolicy(model, sparsity, random)],
      origin: 'random' as const,
    })),
  }))
  let store: Store
  let searchId: string
  let kept: KeptPredictor
  let reads: number

  beforeAll(async () => {
    databaseUrl.pathname = `/predictor_test_${randomBytes(6).toString('hex')}`
    await applyMigrations(databaseUrl.href, { createDatabase: true })
    store = createStore({ databaseUrl: databaseUrl.href })
  })
  afterAll(async () => {
    await store.close()
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(`DROP DATABASE ${databaseUrl.pathname.slice(1)} WITH (FORCE)`)
    await client.end()
  })
  beforeEach(async () => {
    const { id: teamId } = await store.teams.ensureDefault()
    const { id: modelId } = await store.models.create({ teamId, name: 'demo', path: '/models/demo', shape })
    searchId = (await store.searches.create({ teamId, modelId, settings })).id
    const lease = await claimStep({ kind: 'propose', round: 1, index: 0, payload: { count: 5, incumbents: [] } })
    if (lease.kind !== 'propose') throw new Error('no propose step')
    await store.steps.complete(lease, { targets: proposed, backend: 'none', seconds: 0 }, { generator: null })
    kept = new KeptPredictor()
    reads = 0
  })
  afterEach(() => kept.release())

  async function claimStep(step: NewStep): Promise<Lease> {
    const advanced = await store.searches.advance(searchId, () => planOf(step))
    return claim(advanced?.created[0]?.id ?? '')
  }

  async function claim(stepId: string, leaseMs = 60_000): Promise<Lease> {
    const lease = await store.steps.claim(stepId, { workerId: 'test', leaseMs })
    if (!lease) throw new Error(`step ${stepId} could not be claimed`)
    return lease
  }

  const claimTraining = () => claimStep({ kind: 'train', round: 1, index: 0, payload: {} })

  /** Records a predictor as the worker does that trained it. */
  async function recordTraining(lease: Lease, predictor: Predictor) {
    if (lease.kind !== 'train') throw new Error('no train step')
    const { evaluations, residualSamples, noise } = predictor.summary
    const effects = { parameters: predictor.toJSON(), onnx: predictor.toOnnx(), summary: { ...predictor.summary } }
    return store.steps.complete(lease, { evaluations, residualSamples, noise, seconds: 1 }, { predictor: effects })
  }

  async function score() {
    const predictors: Store['predictors'] = {
      ...store.predictors,
      loadOnnx: (...key) => {
        reads++
        return store.predictors.loadOnnx(...key)
      },
    }
    const { created } = (await store.searches.advance(searchId, () =>
      planOf({ kind: 'score', round: 1, index: 0, payload: {} }),
    )) ?? { created: [] }
    const lease = await claim(created[0]?.id ?? '')
    if (lease.kind !== 'score') throw new Error('no score step')
    const context = { store: { steps: store.steps, predictors }, kept }
    const { result } = await processScore(context, lease)
    // a second batch by the same predictor, as after a worker that was lost while it wrote the scores
    expect((await processScore(context, lease)).result.targets).toEqual(result.targets)
    await store.steps.complete(lease, result, {})
    return result
  }

  function expectScoresOf(predictor: Predictor, { targets }: Awaited<ReturnType<typeof score>>) {
    for (const [target, { policies }] of proposed.entries()) {
      for (const [index, { keptUnits }] of policies.entries()) {
        const expected = predictor.predict(keptUnits).logPerplexity
        expect(targets[target]?.scores[index]?.logPerplexity).toBeCloseTo(expected, 4)
      }
    }
  }

  it('scores by the predictor that the worker has trained without reading it again', async () => {
    const predictor = trainDemoPredictor(1)
    const lease = await claimTraining()
    await kept.keep(lease, predictor.toOnnx())
    await recordTraining(lease, predictor)
    expectScoresOf(predictor, await score())
    expect(reads).toBe(0)
  })

  it('reads a predictor of another worker once, and records scores as they are', async () => {
    const predictor = trainDemoPredictor(1)
    await recordTraining(await claimTraining(), predictor)
    const result = await score()
    expectScoresOf(predictor, result)
    expect(reads).toBe(1)
    const recorded = await store.steps.findResult(searchId, 'score', 1, 0)
    expect(recorded).toEqual(result)
    expect(scoreResultSchema.parse(recorded)).toEqual(result)
  })

  it('does not score by what it trained under a lease that it had lost', async () => {
    const [mine, theirs] = [trainDemoPredictor(1), trainDemoPredictor(2)]
    const { created } = (await store.searches.advance(searchId, () =>
      planOf({ kind: 'train', round: 1, index: 0, payload: {} }),
    )) ?? { created: [] }
    const stale = await claim(created[0]?.id ?? '', 0)
    await kept.keep(stale, mine.toOnnx())
    const newer = await claim(stale.stepId)
    expect(await recordTraining(newer, theirs)).toBe('recorded')
    expect(await recordTraining(stale, mine)).toBe('refused')
    expectScoresOf(theirs, await score())
    expect(reads).toBe(1)
  })
})
