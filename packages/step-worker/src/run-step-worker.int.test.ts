import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EvaluateResult, ModelShape, NewStep, SearchPlan, SearchSettings } from '@espalier/contracts'
import { createQueue, type WorkQueue } from '@espalier/queue'
import { createLogger } from '@espalier/runtime'
import { applyMigrations, createStore, type Store } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { runStepWorker } from './run-step-worker.js'

const shape: ModelShape = {
  architecture: 'llama',
  layers: 1,
  hiddenSize: 8,
  queryHeads: 1,
  kvHeads: 1,
  headDim: 8,
  ffnChannels: 8,
  vocabularySize: 16,
  maxPositions: 64,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 1000,
  weightBytes: 2000,
}
const settings: SearchSettings = {
  targets: [0.5],
  budget: 9,
  seed: 1,
  agent: 'network',
  metric: 'wanda',
  compensation: 'mean',
  windowLength: 16,
  calibrationWindows: 1,
  validationWindows: 1,
  finalWindows: null,
  finalists: 0,
  minimumImprovement: 0,
  texts: { calibration: 'c', validation: 'v', test: 't' },
  exports: [],
}
const config = { node: 'test', leaseMs: 1500 }
const logger = createLogger('test', { logLevel: 'silent', node: 'test' })
const protocol = {
  windowLength: 16,
  windows: 1,
  dataHash: 'd',
  modelHash: 'm',
  precision: 'fp32',
  metric: 'wanda',
  compensation: 'mean',
  runtime: {},
} as const
const measured: EvaluateResult = { logPerplexity: 1, perplexity: Math.E, nll: [15], tokens: 15, seconds: 0.01 }

/** A worker in a process of its own that claims a step and never ends it, as one that is about to be killed. */
const hangingWorker = `
  import { createQueue } from '@espalier/queue'
  import { createLogger } from '@espalier/runtime'
  import { createStore } from '@espalier/store'
  import { runStepWorker } from '@espalier/step-worker'
  const databaseUrl = process.env.DATABASE_URL
  await runStepWorker({
    role: 'evaluator', store: createStore({ databaseUrl }), queue: createQueue({ databaseUrl }),
    logger: createLogger('test', { logLevel: 'silent', node: 'test' }), config: { node: 'test', leaseMs: 1500 },
    concurrency: 1, details: {},
    processors: { evaluate: () => { console.log('claimed'); return new Promise(() => {}) } },
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

  /** A search whose plan is these evaluations and nothing else. */
  async function searchOf(count: number): Promise<string> {
    const team = await store.teams.ensureDefault()
    const model = await store.models.create({
      teamId: team.id,
      name: 'm',
      path: `/${randomBytes(4).toString('hex')}`,
      shape,
    })
    const search = await store.searches.create({ teamId: team.id, modelId: model.id, settings })
    await store.searches.advance(search.id, () => planOf(count))
    return search.id
  }
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
  const statesOf = async (id: string) => (await store.searches.loadRecord(id)).steps.map((step) => step.state)
  const untilAll = async (id: string, state: string) => {
    for (let tries = 0; tries < 300; tries++) {
      if ((await statesOf(id)).every((s) => s === state)) return
      await sleep(50)
    }
    throw new Error(`steps are ${await statesOf(id)}, not ${state}`)
  }

  it('finishes what a killed worker had claimed, within the lease and a little', async () => {
    const id = await searchOf(1)
    const child = spawn(process.execPath, ['--input-type=module', '-e', hangingWorker], {
      cwd: import.meta.dirname,
      env: { ...process.env, NODE_OPTIONS: '', DATABASE_URL: databaseUrl },
    })
    children.push(child)
    await new Promise((resolve, reject) => {
      child.stdout?.once('data', resolve)
      child.once('exit', (code) => reject(new Error(`the worker ended with ${code}`)))
    })
    child.kill('SIGKILL')
    const killed = performance.now()
    const tokens: number[] = []
    const worker = await workerThat(async (lease) => {
      tokens.push(lease.fencingToken)
      return { result: measured, effects: { protocol } }
    })
    await untilAll(id, 'DONE')
    expect(performance.now() - killed).toBeLessThan(10_000)
    expect(tokens).toEqual([2])
    expect(await store.evaluations.listForSearch(id)).toHaveLength(1)
    await worker.stop()
  })

  it('keeps the lease of a step that takes longer than it', async () => {
    const id = await searchOf(1)
    let runs = 0
    const slow = async () => {
      runs++
      await sleep(3 * config.leaseMs)
      return { result: measured, effects: { protocol } }
    }
    const workers = [await workerThat(slow), await workerThat(slow)]
    await untilAll(id, 'DONE')
    expect(runs).toBe(1)
    await Promise.all(workers.map((worker) => worker.stop()))
  })

  it('tries a failure that may pass again, and gives up on one that will not', async () => {
    const id = await searchOf(2)
    const attempts = new Map<number, number>()
    const worker = await workerThat(async (lease) => {
      attempts.set(lease.index, (attempts.get(lease.index) ?? 0) + 1)
      if (lease.index === 1) throw new Error('boom')
      if (attempts.get(0) === 1) throw new Error('once')
      return { result: measured, effects: { protocol } }
    })
    for (let tries = 0; tries < 300 && (await statesOf(id)).some((s) => s !== 'DONE' && s !== 'FAILED'); tries++)
      await sleep(50)
    expect((await statesOf(id)).sort()).toEqual(['DONE', 'FAILED'])
    expect([...attempts.entries()].sort()).toEqual([
      [0, 2],
      [1, 3],
    ])
    await worker.stop()
  })

  it('gives the step back at once when it stops', async () => {
    const id = await searchOf(1)
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
    expect(await statesOf(id)).toEqual(['PENDING'])
  })
})

function planOf(count: number): SearchPlan {
  const steps: NewStep[] = Array.from({ length: count }, (_, index) => ({
    kind: 'evaluate',
    round: 0,
    index,
    payload: {
      purpose: 'random',
      targetIndex: 0,
      keptUnits: [1, index],
      sparsity: 0.5,
      split: 'validation',
      windows: 1,
      predicted: null,
    },
  }))
  const progress = {
    state: 'SEARCHING',
    round: 0,
    rounds: 1,
    evaluationsDone: 0,
    evaluationsBudget: 9,
    fraction: 0,
    densePerplexity: null,
    targets: [],
    predictorError: null,
  } as const
  return { state: 'SEARCHING', steps, progress, result: null, error: null }
}
