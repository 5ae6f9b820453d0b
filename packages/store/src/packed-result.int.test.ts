import type { NewStep, ProposeResult, ScoreResult } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { Store } from './store.js'
import { createTestDatabase, createTestSearch, planOf, type TestDatabase } from './store.test-support.js'

const proposed: ProposeResult = {
  targets: [
    {
      policies: [
        { keptUnits: [1, 16, 2, 0], origin: 'network' },
        { keptUnits: [2, 15, 0, 16], origin: 'evolution', drawn: true },
      ],
    },
    { policies: [{ keptUnits: [0, 65_536, 2, 2 ** 31 - 1], origin: 'uniform' }] },
    { policies: [] },
  ],
  backend: 'none',
  seconds: 0.25,
}
const scored: ScoreResult = {
  targets: [
    {
      scores: [
        { logPerplexity: 2.1, low: 1e-300, high: 3.4028234663852886e38 },
        { logPerplexity: -2.5, low: -3, high: 0 },
      ],
    },
    { scores: [{ logPerplexity: Math.PI, low: 3, high: 4 }] },
    { scores: [] },
  ],
  policies: 3,
  seconds: 0.5,
}

describe('results of many policies', () => {
  let database: TestDatabase
  let store: Store

  beforeAll(async () => {
    database = await createTestDatabase()
    store = database.store
  })
  afterAll(() => database.drop())

  async function completeRound(): Promise<string> {
    const { search } = await createTestSearch(store)
    const propose: NewStep = { kind: 'propose', round: 1, index: 0, payload: { count: 1, incumbents: [] } }
    await store.searches.advance(search.id, () => planOf([propose, { kind: 'score', round: 1, index: 0, payload: {} }]))
    for (const role of ['agent', 'predictor'] as const) {
      const lease = await store.steps.claimNext(role, { workerId: 'w', leaseMs: 60_000 })
      if (lease?.kind === 'propose') await store.steps.complete(lease, proposed, { generator: null })
      else if (lease?.kind === 'score') await store.steps.complete(lease, scored, {})
    }
    return search.id
  }

  async function expectResults(searchId: string) {
    expect(await store.steps.findResult(searchId, 'propose', 1, 0)).toEqual(proposed)
    expect(await store.steps.findResult(searchId, 'score', 1, 0)).toEqual(scored)
    const results = (await store.searches.loadRecord(searchId)).steps.map(({ result }) => result)
    expect(results).toEqual([proposed, scored])
    const read = []
    for await (const { result } of store.searches.readSteps(searchId)) read.push(result)
    expect(read).toEqual(results)
  }

  it('are read as they were written, to the last bit', async () => {
    await expectResults(await completeRound())
  })

  it('are read from rows of older versions, which hold arrays', async () => {
    const searchId = await completeRound()
    for (const [kind, result] of Object.entries({ propose: proposed, score: scored })) {
      const written = await database.query(
        'UPDATE "Step" SET result = $3::jsonb WHERE "searchId" = $1 AND kind = $2::"StepKind" RETURNING id',
        [searchId, kind, JSON.stringify(result)],
      )
      expect(written).toHaveLength(1)
    }
    await expectResults(searchId)
  })

  it('take a row of a few bytes a number', async () => {
    const searchId = await completeRound()
    const [row] = await database.query<{ text: string }>(
      `SELECT result#>>'{targets,0,keptUnits,data}' AS text FROM "Step" WHERE "searchId" = $1 AND kind = 'propose'`,
      [searchId],
    )
    expect(Buffer.from(row?.text ?? '', 'base64')).toHaveLength(2 * 4 * Uint16Array.BYTES_PER_ELEMENT)
  })
})
