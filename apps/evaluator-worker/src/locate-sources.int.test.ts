import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelShape, SearchSettings } from '@espalier/contracts'
import { createLogger } from '@espalier/runtime'
import { applyMigrations, createStore, type Lease, type Store } from '@espalier/store'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { FakeHub } from '../../../packages/model-hub/src/fake-hub.test-support.js'
import { createBytes } from '../../../packages/model-hub/src/models.test-support.js'
import { locateModel, locateText } from './locate-sources.js'

const commit = 'c0ffee00'.repeat(5)
const files = {
  'config.json': Buffer.from('{}'),
  'tokenizer.json': Buffer.from('{"version":"1.0"}'),
  'model.safetensors': createBytes(3_000_000, 1),
}
const text = Buffer.from('a text\n'.repeat(1000))
const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 1, hiddenSize: 8, queryHeads: 1, kvHeads: 1, headDim: 8, ffnChannels: 8 },
  ...{ vocabularySize: 16, maxPositions: 64, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 1000, weightBytes: 2000 },
}
const settings: SearchSettings = {
  ...{ targets: [0.5], budget: 9, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean', windowLength: 16 },
  ...{ calibrationWindows: 1, validationWindows: 1, finalWindows: null, finalists: 0, minimumImprovement: 0 },
  ...{ texts: { calibration: 'c', validation: 'v', test: 't' }, exports: [] },
}

let home: string
let hub: FakeHub
let store: Store
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-locate-'))
  const refs = { main: commit }
  hub = await FakeHub.start(
    { type: 'model', id: 'acme/tiny', commits: { [commit]: files }, refs },
    { type: 'dataset', id: 'acme/texts', commits: { [commit]: { 'test.txt': text } }, refs },
  )
  const url = new URL(process.env.ESPALIER_TEST_DATABASE_URL ?? '')
  url.pathname = `/locate_model_${randomBytes(6).toString('hex')}`
  await applyMigrations(url.href, { createDatabase: true })
  store = createStore({ databaseUrl: url.href })
})
afterAll(async () => {
  await store.close()
  await hub.stop()
  await rm(home, { recursive: true, force: true })
})

/** The claimed preparation of a search of the model. */
async function claimPreparation(): Promise<Lease> {
  const { id: teamId } = await store.teams.ensureDefault()
  const source = { source: 'hf://acme/tiny@main', revision: commit }
  const model = await store.models.create({ teamId, name: 'tiny', shape, ...source })
  const search = await store.searches.create({ teamId, modelId: model.id, settings })
  const advanced = await store.searches.advance(search.id, () => ({
    state: 'PREPARING',
    steps: [{ kind: 'prepare', round: 0, index: 0, payload: {} }],
    progress: {
      ...{ state: 'PREPARING', round: 0, rounds: 1, evaluationsDone: 0, evaluationsBudget: 9, fraction: 0 },
      ...{ densePerplexity: null, targets: [], predictorError: null },
    },
    ...{ result: null, error: null },
  }))
  const workerId = await store.workers.register({ role: 'evaluator', node: 'test', pid: 1, details: {} })
  const lease = await store.steps.claim(advanced?.created[0]?.id ?? '', { workerId, leaseMs: 60_000 })
  if (lease === undefined) throw new Error('the preparation could not be claimed')
  return lease
}

const logger = createLogger('test', { logLevel: 'silent', node: 'test' })
const context = () => ({
  store,
  hub: { home, archives: join(home, 'archives'), endpoint: hub.endpoint, backoffMs: 1 },
})
const activityOf = async ({ searchId }: Lease) => (await store.searches.loadRecord(searchId)).steps[0]?.activity

it('downloads with progress, goes on where another was stopped, and asks nobody once it is there', async () => {
  const lease = await claimPreparation()
  const locate = (signal = new AbortController().signal) => locateModel(context(), lease, { signal, logger })

  hub.fault = ({ server }) => (server === 'cdn' ? { stallAfter: 1_000_000 } : null)
  const lost = new AbortController()
  const stopped = locate(lost.signal)
  stopped.catch(() => undefined)
  while ((await activityOf(lease)) === undefined) await sleep(20)
  expect(await activityOf(lease)).toMatch(/^downloading model hf:\/\/acme\/tiny@main: \d\.\d of 3\.0 MB/)
  // What was sent has arrived by then.
  await sleep(500)
  lost.abort(new Error('the lease is lost'))
  await expect(stopped).rejects.toThrow('the lease is lost')

  hub.fault = () => null
  hub.take()
  const directory = await locate()
  expect(directory).toBe(join(home, 'hub', 'models--acme--tiny', 'snapshots', commit))
  expect(hub.take().filter(({ server }) => server === 'cdn')).toMatchObject([{ range: 'bytes=1000000-' }])
  expect(await activityOf(lease)).toBeUndefined()

  expect(await locate()).toBe(directory)
  expect(hub.take()).toEqual([])
})

it('downloads a text that is a file of a data set, and takes a local one as it is', async () => {
  const lease = await claimPreparation()
  const step = { signal: new AbortController().signal, logger }
  const locate = (source: string) => locateText(context(), lease, step, source)
  const [file = '', selection] = (await locate(`hf://datasets/acme/texts@${commit}/test.txt#body`)).split('#')
  expect(readFileSync(file)).toEqual(text)
  expect(selection).toBe('body')
  expect(await locate('/texts/test.jsonl#body')).toBe('/texts/test.jsonl#body')
})
