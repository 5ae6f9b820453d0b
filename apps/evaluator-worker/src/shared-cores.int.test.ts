import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ModelShape, NewStep, SearchPlan, SearchSettings } from '@espalier/contracts'
import { countCpus } from '@espalier/evaluator'
import { readModelShape } from '@espalier/model-graph'
import { applyMigrations, createStore, type Store, type WorkerRow } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import pg from 'pg'

const server = process.env.ESPALIER_TEST_DATABASE_URL ?? ''
const demo = resolve(import.meta.dirname, '../../../models/demo')
const text = join(demo, 'texts', 'calibration.txt')
const settings: SearchSettings = {
  ...{ targets: [0.5], budget: 9, seed: 1, agent: 'network', metric: 'magnitude', compensation: 'none' },
  ...{ windowLength: 64, calibrationWindows: 1, validationWindows: 32, finalWindows: null, finalists: 0 },
  ...{ minimumImprovement: 0, exports: [] },
  texts: { calibration: text, validation: text, test: text },
}
/** More than both evaluators do while they are watched. */
const evaluations = 400
const cpus = countCpus()

/** Threads of a process, as the system counts them: a session has one less than it computes with, beside its caller. */
const tasksOf = async (pid: number) => (await readdir(`/proc/${pid}/task`)).length

const onLinux = existsSync('/proc/self/task') ? describe : describe.skip

onLinux('evaluators of one machine', () => {
  const databaseUrl = new URL(server)
  const evaluators: ChildProcess[] = []
  let store: Store
  let folder: string

  beforeAll(async () => {
    databaseUrl.pathname = `/cores_test_${randomBytes(6).toString('hex')}`
    folder = await mkdtemp(join(tmpdir(), 'espalier-cores-'))
    await applyMigrations(databaseUrl.href, { createDatabase: true })
    store = createStore({ databaseUrl: databaseUrl.href })
    const { id: teamId } = await store.teams.ensureDefault()
    const { shape } = await readModelShape(demo)
    const model = await store.models.create({ teamId, name: 'demo', path: demo, shape })
    const { id } = await store.searches.create({ teamId, modelId: model.id, settings })
    await store.searches.advance(id, () =>
      planOf([{ kind: 'prepare', round: 0, index: 0, payload: {} }, ...stepsOf(shape)]),
    )
  })
  afterAll(async () => {
    for (const evaluator of evaluators) evaluator.kill('SIGKILL')
    await store.close()
    const client = new pg.Client({ connectionString: server })
    await client.connect()
    await client.query(`DROP DATABASE ${databaseUrl.pathname.slice(1)} WITH (FORCE)`)
    await client.end()
    await rm(folder, { recursive: true })
  })

  it('use all its cores and no more, and one that is killed leaves its own to the other', async () => {
    const first = startEvaluator()
    await afterMoreSteps(first)
    await afterMoreSteps(first)
    const alone = await tasksOf(pidOf(first))
    /** Threads that a process computes with: all cores, as long as it was alone. */
    const threadsOf = async (evaluator: ChildProcess) => cpus - alone + (await tasksOf(pidOf(evaluator)))

    const second = startEvaluator()
    await afterMoreSteps(first, second)
    for (let look = 0; look < 5; look++) {
      const [one, other] = [await threadsOf(first), await threadsOf(second)]
      expect(one + other).toBeLessThanOrEqual(Math.max(2, cpus))
      expect(Math.min(one, other)).toBe(Math.max(1, cpus >> 1))
      await afterMoreSteps(first, second)
    }

    first.kill('SIGKILL')
    // Until its parent has seen the end a process still has an id.
    await once(first, 'exit')
    await afterMoreSteps(second)
    expect(await threadsOf(second)).toBe(cpus)
  })

  function startEvaluator(): ChildProcess {
    const evaluator = fork(fileURLToPath(new URL('../dist/main.js', import.meta.url)), {
      env: {
        ...process.env,
        // Those that other tests start on this machine do not count.
        TMPDIR: folder,
        NODE_OPTIONS: '',
        DATABASE_URL: databaseUrl.href,
        REDIS_URL: '',
        ESPALIER_ARTIFACTS: join(folder, 'artifacts'),
        ESPALIER_THREADS: '',
        ESPALIER_PROVIDER: 'cpu',
        LOG_LEVEL: 'warn',
      },
    })
    evaluators.push(evaluator)
    return evaluator
  }

  async function workerOf(evaluator: ChildProcess): Promise<WorkerRow | undefined> {
    return (await store.workers.list()).find(({ pid }) => pid === evaluator.pid)
  }

  /** When each has ended two more steps: it began the last of them with the share that it has now. */
  async function afterMoreSteps(...watched: readonly ChildProcess[]): Promise<void> {
    const doneOf = async (evaluator: ChildProcess) => (await workerOf(evaluator))?.doneSteps ?? 0
    const before = await Promise.all(watched.map(doneOf))
    await until(async () => {
      const now = await Promise.all(watched.map(doneOf))
      return now.every((done, index) => done >= (before[index] ?? 0) + 2)
    })
  }
})

function pidOf({ pid }: ChildProcess): number {
  if (pid === undefined) throw new Error('The evaluator was not started')
  return pid
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await sleep(20)
}

/** As many evaluations of the dense model. */
function stepsOf({ layers, kvHeads, ffnChannels }: ModelShape): NewStep[] {
  const keptUnits = Array.from({ length: 2 * layers }, (_, module) => (module % 2 === 0 ? kvHeads : ffnChannels))
  const policy = { purpose: 'random', targetIndex: 0, keptUnits, sparsity: 0, predicted: null } as const
  const payload = { ...policy, split: 'validation', windows: settings.validationWindows } as const
  return Array.from({ length: evaluations }, (_, index) => ({ kind: 'evaluate', round: 0, index, payload }))
}

/** A plan that wants these steps and nothing else. */
function planOf(steps: readonly NewStep[]): SearchPlan {
  const state = 'SEARCHING'
  const counts = { round: 0, rounds: 1, evaluationsDone: 0, evaluationsBudget: settings.budget, fraction: 0 }
  const progress = { state, ...counts, densePerplexity: null, targets: [], predictorError: null } as const
  return { state, steps, progress, result: null, error: null }
}
