import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EvaluationResource, SearchDetailResource, WorkerResource } from '@espalier/contracts'

const root = resolve(import.meta.dirname, '..')
const READY_MS = 60_000
const SEARCH_MS = 150_000

/** A whole service in processes of its own, started as a user starts it. */
export interface RunningService {
  readonly home: string
  url(): string
  get<T>(path: string): Promise<T>
  post<T>(path: string, body?: unknown): Promise<{ status: number; body: T }>
  /** The process of a role, while it does a step if it takes steps and one comes soon; or of the embedded Postgres. */
  pidOf(role: string): Promise<number>
  /** The process a user started. */
  readonly supervisor: ChildProcess
  stop(): Promise<void>
}

export function createHome(): string {
  return mkdtempSync(join(tmpdir(), 'espalier-service-'))
}

/** `espalier up` in a home; resolves when it answers. */
export async function startService(home: string, environment: Record<string, string> = {}): Promise<RunningService> {
  const supervisor = spawn(
    process.execPath,
    [join(root, 'apps/cli/bin/espalier.js'), 'up', '--port', '0', '--home', home],
    {
      env: { ...process.env, NODE_OPTIONS: '', DATABASE_URL: '', REDIS_URL: '', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let output = ''
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  }
  const service = serviceOf(home, supervisor)
  await until(READY_MS, () => {
    if (supervisor.exitCode !== null) throw new Error(`espalier up ended with ${supervisor.exitCode}: ${output}`)
    return service.get('/readyz').then(
      () => true,
      () => false,
    )
  })
  return service
}

function serviceOf(home: string, supervisor: ChildProcess): RunningService {
  const description = () => JSON.parse(readFileSync(join(home, 'service.json'), 'utf8')) as { url: string; pid: number }
  const request = async (path: string, init: RequestInit = {}) => {
    if (description().pid !== supervisor.pid) throw new Error('another service is still described')
    const key = readFileSync(join(home, 'admin-key'), 'utf8').trim()
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    return fetch(description().url + path, { ...init, headers })
  }
  const get = async <T>(path: string): Promise<T> => {
    const response = await request(path)
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as T
  }
  return {
    home,
    supervisor,
    get,
    url: () => description().url,
    async post<T>(path: string, body: unknown = {}) {
      const response = await request(path, { method: 'POST', body: JSON.stringify(body) })
      return { status: response.status, body: (await response.json()) as T }
    },
    pidOf: (role) => (role === 'postgres' ? Promise.resolve(postgresPid(home)) : pidOfRole(get, role)),
    async stop() {
      if (supervisor.exitCode === null && supervisor.signalCode === null) {
        supervisor.kill('SIGTERM')
        await until(30_000, async () => supervisor.exitCode !== null || supervisor.signalCode !== null)
      }
      rmSync(home, { recursive: true, force: true })
    },
  }
}

/** Steps of the agent and the predictor come once a round and are short. */
const BUSY_MS = 10_000

async function pidOfRole(get: RunningService['get'], role: string): Promise<number> {
  const takesSteps = role !== 'api' && role !== 'dispatcher'
  const end = Date.now() + BUSY_MS
  for (;;) {
    const { items } = await get<{ items: WorkerResource[] }>('/v1/workers')
    const worker = items.find((item) => item.role === role && item.alive)
    if (!worker) throw new Error(`no ${role} among ${items.map((item) => item.role)}`)
    if (!takesSteps || worker.currentStepId !== null || Date.now() > end) return worker.pid
    await sleep(20)
  }
}

function postgresPid(home: string): number {
  const folders = readdirSync(home, { recursive: true, encoding: 'utf8' })
  const file = folders.find((name) => name.endsWith('postmaster.pid'))
  if (!file || !existsSync(join(home, file))) throw new Error(`no embedded Postgres in ${home}`)
  return Number(readFileSync(join(home, file), 'utf8').split('\n')[0])
}

export async function until(limitMs: number, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + limitMs
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not true after ${limitMs} ms: ${condition}`)
    await sleep(100)
  }
}

/** Submits a small search of the bundled model; gives its id. */
export async function submitSearch(service: RunningService, change: Record<string, unknown> = {}): Promise<string> {
  const model = await service.post<{ id: string }>('/v1/models', { path: join(root, 'models/demo') })
  const search = await service.post<{ id: string }>('/v1/searches', {
    model: model.body.id,
    targets: [0.4],
    budget: 28,
    seed: 7,
    // Each of them is compared with others: none may start from what they measured.
    transfer: 'none',
    windowLength: 64,
    calibrationWindows: 4,
    validationWindows: 8,
    finalWindows: 16,
    finalists: 2,
    exports: ['onnx'],
    ...change,
  })
  if (search.status !== 202) throw new Error(`POST /v1/searches: ${search.status} ${JSON.stringify(search.body)}`)
  return search.body.id
}

export async function untilEnded(service: RunningService, id: string): Promise<SearchDetailResource> {
  let search: SearchDetailResource | undefined
  await until(SEARCH_MS, async () => {
    // the API or its database may be down for a moment: that is what is tested
    search = await service.get<SearchDetailResource>(`/v1/searches/${id}`).catch(() => search)
    return search !== undefined && ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(search.state)
  })
  if (!search) throw new Error('the search was never seen')
  return search
}

export async function untilEvaluated(service: RunningService, id: string, evaluations: number): Promise<void> {
  await until(SEARCH_MS, async () => {
    const search = await service.get<SearchDetailResource>(`/v1/searches/${id}`)
    if (search.state === 'FAILED') throw new Error(`the search failed: ${search.error?.message}`)
    return (search.progress?.evaluationsDone ?? 0) >= evaluations
  })
}

/** What was measured, in an order of its own: policy, split, windows and the number itself. */
export async function evaluationsOf(service: RunningService, id: string): Promise<string[]> {
  const all: EvaluationResource[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const page: { items: EvaluationResource[]; nextCursor: string | null } = await service.get(
      `/v1/searches/${id}/evaluations?limit=50${cursor === '' ? '' : `&cursor=${cursor}`}`,
    )
    all.push(...page.items)
    cursor = page.nextCursor
  }
  return all.map((e) => `${e.split}/${e.windows}/${e.keptUnits}/${e.logPerplexity}`).sort()
}
