import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { generatorFileSchema, type NewStep, proposeResultSchema, type SearchPlan } from '@espalier/contracts'
import { checkKeptUnits, createPrunableModel } from '@espalier/pruning'
import { createArtifactStore } from '@espalier/runtime'
import { applyMigrations, createStore, type Store } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { settings, shape, targets, trainSmallPredictor } from './agent-worker.test-support.js'

const server = process.env.ESPALIER_TEST_DATABASE_URL ?? ''

/** A plan that wants these steps and nothing else. */
function planOf(steps: readonly NewStep[]): SearchPlan {
  const state = 'SEARCHING'
  const counts = { round: 1, rounds: 1, evaluationsDone: 0, evaluationsBudget: settings.budget, fraction: 0 }
  const progress = { state, ...counts, densePerplexity: null, targets: [], predictorError: null } as const
  return { state, steps, progress, result: null, error: null }
}

async function until<T>(find: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await find()
    if (found !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('the agent worker', () => {
  const databaseUrl = new URL(server)
  let store: Store
  let worker: ChildProcess
  let folder: string

  beforeAll(async () => {
    databaseUrl.pathname = `/agent_test_${randomBytes(6).toString('hex')}`
    folder = await mkdtemp(join(tmpdir(), 'espalier-agent-'))
    await applyMigrations(databaseUrl.href, { createDatabase: true })
    store = createStore({ databaseUrl: databaseUrl.href })
    worker = fork(fileURLToPath(new URL('../dist/main.js', import.meta.url)), {
      env: {
        ...process.env,
        NODE_OPTIONS: '',
        DATABASE_URL: databaseUrl.href,
        REDIS_URL: '',
        ESPALIER_ARTIFACTS: folder,
        LOG_LEVEL: 'warn',
      },
    })
  })
  afterAll(async () => {
    worker.kill('SIGKILL')
    await store.close()
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(`DROP DATABASE ${databaseUrl.pathname.slice(1)} WITH (FORCE)`)
    await client.end()
    await rm(folder, { recursive: true })
  })

  it('registers with its backend, does a step of a search, and stops when told', async () => {
    const team = await store.teams.ensureDefault()
    const model = await store.models.create({ teamId: team.id, name: 'demo', path: '/models/demo', shape })
    const search = await store.searches.create({ teamId: team.id, modelId: model.id, settings })
    await saveTrainedPredictor(search.id)
    const registered = await until(async () => (await store.workers.list()).find(({ role }) => role === 'agent'))
    expect(registered.details).toEqual({ backend: expect.stringMatching(/^(wasm|tensorflow)$/) })

    const payload = { count: 5, incumbents: targets.map(() => []) }
    await store.searches.advance(search.id, () => planOf([{ kind: 'propose', round: 1, index: 0, payload }]))
    const result = await until(() => store.steps.findResult(search.id, 'propose', 1, 0))
    expect(proposeResultSchema.parse(result)).toEqual(result)
    for (const { policies } of result.targets) {
      expect(policies).toHaveLength(5)
      for (const { keptUnits } of policies) checkKeptUnits(createPrunableModel(shape), keptUnits)
    }

    const generator = await store.generators.findLatest(team.id, search.id)
    const file = generatorFileSchema.parse(
      JSON.parse(Buffer.from(await createArtifactStore(folder).getBytes(generator?.artifact ?? '')).toString()),
    )
    expect(file).toMatchObject({ round: 1, shape, front: { range: [0.15, 0.55], network: { modules: 16 } } })
    expect(file.predictor).toEqual(await store.predictors.loadParameters(search.id, 1))

    worker.kill('SIGTERM')
    expect(await once(worker, 'exit')).toEqual([0, null])
    expect(await store.workers.list()).toEqual([])
  })

  /** Does what a predictor worker does. */
  async function saveTrainedPredictor(searchId: string): Promise<void> {
    await store.searches.advance(searchId, () => planOf([{ kind: 'train', round: 1, index: 0, payload: {} }]))
    const lease = await store.steps.claimNext('predictor', { workerId: 'test', leaseMs: 60_000 })
    if (lease?.kind !== 'train') throw new Error('There is no train step')
    const predictor = trainSmallPredictor()
    const { evaluations, residualSamples, noise } = predictor.summary
    const effects = { parameters: predictor.toJSON(), onnx: predictor.toOnnx(), summary: { ...predictor.summary } }
    await store.steps.complete(lease, { evaluations, residualSamples, noise, seconds: 1 }, { predictor: effects })
  }
})
