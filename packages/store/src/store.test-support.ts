import { randomBytes } from 'node:crypto'
import type { EvaluateResult, ModelShape, NewStep, SearchPlan, SearchSettings } from '@espalier/contracts'
import pg from 'pg'
import { applyMigrations } from './apply-migrations.js'
import { createStore } from './create-store.js'
import type { EvaluationProtocol, ModelRow, SearchRow } from './records.js'
import type { Store } from './store.js'

/** A database of one test file, on the Postgres that jest.global-setup.mjs provides. */
export interface TestDatabase {
  readonly url: string
  readonly store: Store
  /** Any SQL, for what no public method does: moving time, looking at rows. */
  query<Row extends pg.QueryResultRow>(sql: string, values?: readonly unknown[]): Promise<Row[]>
  drop(): Promise<void>
}

export async function createTestDatabase({ poolSize = 10 } = {}): Promise<TestDatabase> {
  const url = createTestDatabaseUrl()
  await applyMigrations(url, { createDatabase: true })
  const store = createStore({ databaseUrl: url, poolSize })
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  pool.on('error', () => {})
  return {
    url,
    store,
    query: async (sql, values = []) => (await pool.query(sql, [...values])).rows,
    async drop() {
      await store.close()
      await pool.end()
      await dropTestDatabase(url)
    },
  }
}

/** Address of a database that does not exist yet. */
export function createTestDatabaseUrl(): string {
  const server = process.env.ESPALIER_TEST_DATABASE_URL
  if (server === undefined) throw new Error('ESPALIER_TEST_DATABASE_URL is not set: run the tests with jest')
  const url = new URL(server)
  url.pathname = `/store_test_${randomBytes(6).toString('hex')}`
  return url.href
}

export async function dropTestDatabase(databaseUrl: string): Promise<void> {
  const url = new URL(databaseUrl)
  const name = url.pathname.slice(1)
  url.pathname = '/postgres'
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  await client.query(`DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`)
  await client.end()
}

const testShape: ModelShape = {
  architecture: 'llama',
  layers: 2,
  hiddenSize: 8,
  queryHeads: 2,
  kvHeads: 2,
  headDim: 4,
  ffnChannels: 16,
  vocabularySize: 32,
  maxPositions: 64,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 2000,
  weightBytes: 8000,
}

const testSettings: SearchSettings = {
  targets: [0.2, 0.5],
  budget: 9,
  seed: 1,
  agent: 'network',
  metric: 'wanda',
  compensation: 'mean',
  windowLength: 16,
  calibrationWindows: 2,
  validationWindows: 2,
  finalWindows: null,
  finalists: 3,
  minimumImprovement: 0,
  texts: { calibration: '/c.txt', validation: '/v.txt', test: '/t.txt' },
  exports: [],
}

/** A search of the default team over a model of its own. */
export async function createTestSearch(store: Store): Promise<{ model: ModelRow; search: SearchRow }> {
  const team = await store.teams.ensureDefault()
  const path = `/models/${randomBytes(6).toString('hex')}`
  const model = await store.models.create({ teamId: team.id, name: 'tiny', path, shape: testShape })
  const search = await store.searches.create({ teamId: team.id, modelId: model.id, settings: testSettings })
  return { model, search }
}

/** A plan that wants these steps and nothing else. */
export function planOf(steps: readonly NewStep[], overrides: Partial<SearchPlan> = {}): SearchPlan {
  const state = overrides.state ?? 'SEARCHING'
  return {
    state,
    steps,
    progress: {
      state,
      round: 0,
      rounds: 1,
      evaluationsDone: 0,
      evaluationsBudget: testSettings.budget,
      fraction: 0,
      densePerplexity: null,
      targets: [],
      predictorError: null,
    },
    result: null,
    error: null,
    ...overrides,
  }
}

/** The evaluation of a policy that no other index has. */
export function evaluateStep(index: number): NewStep<'evaluate'> {
  return {
    kind: 'evaluate',
    round: 0,
    index,
    payload: {
      purpose: 'random',
      targetIndex: 0,
      keptUnits: [1, index, 2, 16],
      sparsity: 0.25,
      split: 'validation',
      windows: 2,
      predicted: null,
    },
  }
}

export const testEvaluation: EvaluateResult = {
  logPerplexity: Math.log(20),
  perplexity: 20,
  nll: [44.9, 45.1],
  tokens: 30,
  seconds: 0.5,
}

export const testProtocol: EvaluationProtocol = {
  windowLength: 16,
  windows: 2,
  dataHash: 'd'.repeat(64),
  modelHash: 'a'.repeat(64),
  precision: 'fp32',
  metric: 'wanda',
  compensation: 'mean',
  runtime: { onnxruntime: '1.30.0' },
}

/** A search with `count` pending evaluations; returns their ids in order. */
export async function createSearchWithSteps(store: Store, count: number) {
  const { model, search } = await createTestSearch(store)
  const steps = Array.from({ length: count }, (_, index) => evaluateStep(index))
  const advanced = await store.searches.advance(search.id, () => planOf(steps))
  return { model, search, stepIds: (advanced?.created ?? []).map(({ id }) => id) }
}

/** Claims a step that must be there, and narrows it to an evaluation. */
export async function claimEvaluation(store: Store, stepId: string, workerId: string, leaseMs = 60_000) {
  const lease = await store.steps.claim(stepId, { workerId, leaseMs })
  if (lease?.kind !== 'evaluate') throw new Error(`step ${stepId} could not be claimed`)
  return lease
}
