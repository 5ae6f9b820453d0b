import type { EvaluatorCapacity } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Store } from './store.js'
import { createTestDatabase, createTestSearch, evaluateStep, planOf, type TestDatabase } from './store.test-support.js'

let database: TestDatabase
let store: Store

beforeAll(async () => {
  database = await createTestDatabase()
  store = database.store
})
afterAll(() => database.drop())

const card: EvaluatorCapacity = { provider: 'cuda', memoryBytes: 24e9, precisions: ['fp32', 'fp16', 'bf16'] }
const host: EvaluatorCapacity = { provider: 'cpu', memoryBytes: 24e9, precisions: ['fp32', 'fp16'] }
const claimBy = (capacity?: EvaluatorCapacity) => ({ workerId: 'w', leaseMs: 5000, ...(capacity && { capacity }) })

describe('an evaluator', () => {
  it('gets only steps whose model fits into its memory, by wake and by looking', async () => {
    const { search } = await createTestSearch(store)
    const memoryNeeds = { cpu: 28e9, cpuWithFp32Weights: 56e9, cuda: 14e9 }
    const plan = () => ({ ...planOf([evaluateStep(0)]), memoryNeeds })
    const [step] = (await store.searches.advance(search.id, plan))?.created ?? []
    const stepId = step?.id ?? ''
    const converting: EvaluatorCapacity = { ...host, memoryBytes: 56e9, weights: 'fp32' }
    for (const capacity of [host, { ...card, memoryBytes: 14e9 - 1 }, { ...converting, memoryBytes: 56e9 - 1 }]) {
      expect(await store.steps.claimNext('evaluator', claimBy(capacity))).toBeUndefined()
      expect(await store.steps.claim(stepId, claimBy(capacity))).toBeUndefined()
    }
    for (const capacity of [card, converting, { ...host, memoryBytes: 28e9 }]) {
      const lease = await store.steps.claimNext('evaluator', claimBy(capacity))
      expect(lease).toMatchObject({ stepId })
      if (lease) await store.steps.release(lease)
    }
    const unknown = await store.steps.claim(stepId, claimBy({ ...host, memoryBytes: null }))
    expect(unknown).toMatchObject({ stepId })
    await store.searches.requestCancel(search.teamId, search.id)
  })

  it('goes past what does not fit to what does', async () => {
    const large = await createTestSearch(store)
    await store.searches.advance(large.search.id, () => ({
      ...planOf([evaluateStep(0)]),
      memoryNeeds: { cpu: 280e9, cpuWithFp32Weights: 560e9, cuda: 140e9 },
    }))
    const small = await createTestSearch(store)
    await store.searches.advance(small.search.id, () => planOf([evaluateStep(0)]))
    const lease = await store.steps.claimNext('evaluator', claimBy(host))
    expect(lease?.searchId).toBe(small.search.id)
    for (const { search } of [large, small]) await store.searches.requestCancel(search.teamId, search.id)
  })

  it('that converts weights goes by its provider where an older service has written the needs', async () => {
    const { search } = await createTestSearch(store)
    await store.searches.advance(search.id, () => planOf([evaluateStep(0)]))
    await database.query(`UPDATE "Search" SET "memoryNeeds" = '{"cpu": 28e9, "cuda": 14e9}' WHERE id = $1`, [search.id])
    const converting: EvaluatorCapacity = { ...host, weights: 'fp32' }
    expect(await store.steps.claimNext('evaluator', claimBy({ ...converting, memoryBytes: 27e9 }))).toBeUndefined()
    const lease = await store.steps.claimNext('evaluator', claimBy({ ...converting, memoryBytes: 28e9 }))
    expect(lease?.searchId).toBe(search.id)
    await store.searches.requestCancel(search.teamId, search.id)
  })

  it('gets no step of a search that was prepared in a precision it does not compute in', async () => {
    const { search } = await createTestSearch(store)
    const prepare = { kind: 'prepare', round: 0, index: 0, payload: {} } as const
    await store.searches.advance(search.id, () => planOf([prepare, evaluateStep(0)]))
    await database.query(
      `UPDATE "Step" SET state = 'DONE', result = '{"precision": "bf16"}' WHERE "searchId" = $1 AND kind = 'prepare'`,
      [search.id],
    )
    expect(await store.steps.claimNext('evaluator', claimBy(host))).toBeUndefined()
    expect(await store.steps.claimNext('evaluator', claimBy(card))).toMatchObject({ kind: 'evaluate' })
    await store.searches.requestCancel(search.teamId, search.id)
  })
})
