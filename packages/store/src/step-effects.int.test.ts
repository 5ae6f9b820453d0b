import type { NewStep } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Store } from './store.js'
import {
  claimEvaluation,
  createTestDatabase,
  createTestSearch,
  evaluateStep,
  planOf,
  type TestDatabase,
  testEvaluation,
  testProtocol,
} from './store.test-support.js'

const claimOptions = { workerId: 'w', leaseMs: 60_000 }

let database: TestDatabase
let store: Store

beforeAll(async () => {
  database = await createTestDatabase()
  store = database.store
})
afterAll(() => database.drop())

/** A search with exactly these steps, and the ids of the steps. */
async function createSearch(steps: readonly NewStep[]) {
  const { search } = await createTestSearch(store)
  const advanced = await store.searches.advance(search.id, () => planOf(steps))
  return { search, stepIds: (advanced?.created ?? []).map(({ id }) => id) }
}

describe('what is written with a result', () => {
  it('keeps a predictor with every byte of its ONNX file', async () => {
    const { search, stepIds } = await createSearch([{ kind: 'train', round: 2, index: 0, payload: {} }])
    const lease = await store.steps.claim(String(stepIds[0]), claimOptions)
    if (lease?.kind !== 'train') throw new Error('no lease')
    const onnx = Uint8Array.from({ length: 100_000 }, (_, index) => (index * 31) % 256)
    const predictor = { parameters: { s: [0.1, 1e-300, 3] }, onnx, summary: { noise: 0.02 } }
    await expect(store.predictors.loadOnnx(search.id, 2)).rejects.toMatchObject({ code: 'RESOURCE_NOT_FOUND' })
    await expect(store.predictors.loadParameters(search.id, 2)).rejects.toMatchObject({ code: 'RESOURCE_NOT_FOUND' })
    await store.steps.complete(lease, { evaluations: 30, residualSamples: 0, noise: 0.02, seconds: 1 }, { predictor })
    expect(await store.predictors.loadParameters(search.id, 2)).toEqual(predictor.parameters)
    expect(Buffer.from(await store.predictors.loadOnnx(search.id, 2)).equals(Buffer.from(onnx))).toBe(true)
  })

  it('keeps a pruned model and tells of it', async () => {
    const report = {
      denseTestPerplexity: 10,
      uniformTestPerplexity: 14,
      testPerplexity: 12,
      validationPerplexity: 11,
    }
    const payload = {
      ...{ targetIndex: 1, format: 'onnx' as const, keptUnits: [1, 8, 2, 16], sparsity: 0.5 },
      ...{ logPerplexity: Math.log(11), windows: 2, report },
    }
    const { search, stepIds } = await createSearch([{ kind: 'export', round: 4, index: 0, payload }])
    const lease = await store.steps.claim(String(stepIds[0]), claimOptions)
    if (lease?.kind !== 'export') throw new Error('no lease')
    const result = {
      directory: 'searches/x/0.5-onnx',
      files: [{ name: 'model.onnx', bytes: 7, sha256: 'a'.repeat(64) }],
      parameters: 7_000_000_000,
      compensationWritten: true,
      note: null,
      perplexity: 11.0000001,
      expectedPerplexity: 11,
      seconds: 2,
    }
    await store.steps.complete(lease, result, { events: [{ type: 'note', data: { hello: 1 } }] })
    const { seconds: _seconds, ...kept } = result
    const [artifact] = await store.artifacts.list(search.teamId, search.id)
    expect(artifact).toMatchObject({ ...kept, searchId: search.id, targetIndex: 1, format: 'onnx' })
    expect(await store.artifacts.get(search.teamId, search.id, String(artifact?.id))).toEqual(artifact)
    const events = await store.events.listAfter(search.teamId, search.id, 0)
    expect(events.slice(-2)).toMatchObject([
      { type: 'artifact', data: { id: artifact?.id, targetIndex: 1, format: 'onnx', perplexity: 11.0000001 } },
      { type: 'note', data: { hello: 1 } },
    ])
  })

  it('counts a policy measured twice on the same windows once, and ranks it by its best fidelity', async () => {
    const first = evaluateStep(3)
    const again = { ...first, index: 4, payload: { ...first.payload, purpose: 'uniform' as const } }
    const longer = { ...first, index: 5, payload: { ...first.payload, purpose: 'final' as const, windows: 8 } }
    const test = { ...first, index: 6, payload: { ...first.payload, purpose: 'test' as const, split: 'test' as const } }
    const { search, stepIds } = await createSearch([first, again, longer, test])
    for (const [position, stepId] of stepIds.entries()) {
      const lease = await claimEvaluation(store, stepId, 'w')
      const result = { ...testEvaluation, perplexity: 20 + position }
      expect(await store.steps.complete(lease, result, { protocol: testProtocol })).toBe('recorded')
    }
    const { items } = await store.policies.list(search.teamId, search.id)
    expect(items).toMatchObject([
      {
        perplexity: 22,
        evaluations: [
          { purpose: 'random', split: 'validation', windows: 2, perplexity: 20 },
          { purpose: 'final', split: 'validation', windows: 8, perplexity: 22 },
          { purpose: 'test', split: 'test', windows: 2, perplexity: 23 },
        ],
      },
    ])
    expect(await store.searches.countSteps(search.teamId, search.id)).toEqual([
      { kind: 'evaluate', pending: 0, running: 0, done: 4, failed: 0, cancelled: 0 },
    ])
  })

  it('knows the shape of a downloaded model from its preparation on, and what evaluators need by it', async () => {
    const { search: other, model: folder } = await createTestSearch(store)
    const { teamId, shape } = folder
    const location = { source: 'hf://acme/tiny@main', revision: 'c'.repeat(40) }
    const model = await store.models.create({ teamId, name: 'tiny', shape, ...location })
    expect(model).toMatchObject({ path: null, ...location, hash: null })
    const search = await store.searches.create({ teamId, modelId: model.id, settings: other.settings })
    const plan = planOf([{ kind: 'prepare', round: 0, index: 0, payload: {} }])
    const advanced = await store.searches.advance(search.id, () => ({
      ...plan,
      memoryNeeds: { cpu: 1, cpuWithFp32Weights: 2, cuda: 3 },
    }))
    const lease = await store.steps.claim(String(advanced?.created[0]?.id), claimOptions)
    if (lease?.kind !== 'prepare') throw new Error('no lease')
    expect(lease.model).toEqual({ id: model.id, name: 'tiny', path: null, ...location, shape, hash: null })

    const [modelHash, hash] = ['a'.repeat(64), 'b'.repeat(64)]
    const split = { artifact: hash, textHash: hash, tokens: 100, windows: 6 }
    const splits = { calibration: split, validation: split, test: split }
    const calibration = { key: 'x', modelHash, dataHash: hash, windowLength: 16, windows: 2, artifact: hash }
    const opened = { ...shape, parameters: shape.parameters + 32 }
    const result = { modelHash, calibration: hash, splits, seconds: 1 }
    await store.steps.complete(lease, result, { calibration, shape: opened })
    // Registered again, it is still the model that was opened: a commit does not change.
    const again = await store.models.create({ teamId, name: 'renamed', shape, ...location })
    expect(again).toMatchObject({ id: model.id, name: 'renamed', shape: opened, hash: modelHash })
    expect((await store.searches.loadRecord(search.id)).shape).toEqual(opened)
    await store.searches.advance(search.id, () => ({
      ...plan,
      memoryNeeds: { cpu: 4, cpuWithFp32Weights: 5, cuda: 6 },
    }))
    expect(await database.query('SELECT "memoryNeeds" AS needs FROM "Search" WHERE id = $1', [search.id])).toEqual([
      { needs: { cpu: 4, cpuWithFp32Weights: 5, cuda: 6 } },
    ])
  })

  it('replaces a calibration whose record was lost', async () => {
    const { id: teamId } = await store.teams.ensureDefault()
    const calibration = {
      ...{ key: 'k', modelHash: 'm', dataHash: 'd', windowLength: 16, windows: 2, artifact: 'old' },
    }
    await store.calibrations.save(teamId, calibration)
    await store.calibrations.save(teamId, { ...calibration, artifact: 'new' })
    expect(await store.calibrations.find(teamId, 'k')).toEqual({ ...calibration, artifact: 'new' })
    expect(await store.calibrations.find('tea_other', 'k')).toBeUndefined()
  })
})
