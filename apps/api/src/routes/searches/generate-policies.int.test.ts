import { createHash } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { type GeneratedPoliciesResource, generatedPoliciesSchema, type NewStep } from '@espalier/contracts'
import { countEvaluationFlops } from '@espalier/cost-model'
import { openModel } from '@espalier/model-graph'
import { proposePolicies, type SearchEffort } from '@espalier/policy-agent'
import { predictorTrainers } from '@espalier/predictor-cnn'
import {
  createPrunableModel,
  createRandomGenerator,
  denseUnits,
  keptParametersOf,
  randomPolicy,
  rankUnits,
  resolvePolicyFile,
} from '@espalier/pruning'
import { createArtifactStore } from '@espalier/runtime'
import type { ModelRow, SearchRow } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'

const targets = [0.2, 0.4]

/** Enough where the quality of the policies is not the question. */
const effort: SearchEffort = {
  ...{ hiddenUnits: 8, trainingSteps: 4, retrainingSteps: 4, sparsitiesPerStep: 2, pairsPerSparsity: 4 },
  ...{ networkSamples: 4, crossEntropySteps: 1, crossEntropySamples: 4, population: 4 },
  ...{ evolutionScores: 4, spreadScores: 4, noveltyScores: 2, drawScores: 4, allDrawScores: 8 },
  front: { steps: 4_000, swaps: 2, anchors: 2, anchorScores: 50, anchorPopulation: 8 },
}

let test: TestApi
let model: ModelRow
let search: SearchRow
let trained: Awaited<ReturnType<typeof trainGenerator>>

beforeAll(async () => {
  // Before the API is there: it turns requests away while its process is busy.
  trained = await trainGenerator()
  test = await createTestApi()
  const { id } = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json()
  model = await test.store.models.get(test.teamId, id)
  search = await createSearch('network')
}, 180_000)
afterAll(() => test.close())

async function createSearch(agent: string, more: object = {}): Promise<SearchRow> {
  const payload = { model: model.id, targets, agent, windowLength: 64, ...more }
  const { id } = (await test.request('POST', '/v1/searches', { payload })).json()
  return test.store.searches.get(test.teamId, id)
}

const generate = (id: string, payload: object, headers = {}) =>
  test.request('POST', `/v1/searches/${id}/policies:generate`, { payload, headers })

async function policiesOf(payload: object): Promise<GeneratedPoliciesResource> {
  const answer = await generate(search.id, payload)
  expect(answer.statusCode).toBe(200)
  return generatedPoliciesSchema.parse(answer.json())
}

/** What the agent trains, with a real predictor of 60 policies whose perplexities are made up. */
async function trainGenerator() {
  const { shape } = await openModel(demoModel)
  const prunable = createPrunableModel(shape)
  const random = createRandomGenerator(4)
  const damages = prunable.modules.map(() => 0.3 * random.uniform())
  const logPerplexity = (kept: readonly number[]) =>
    kept.reduce((sum, count, m) => sum + (damages[m] ?? 0) * (1 - count / (prunable.modules[m]?.units ?? 1)) ** 1.7, 3)
  const randoms = Array.from({ length: 60 }, () => randomPolicy(prunable, 0.6 * random.uniform(), random))
  const evaluations = [denseUnits(prunable), ...randoms].map((kept, index) => {
    return { purpose: index === 0 ? ('dense' as const) : ('random' as const), kept, logPerplexity: logPerplexity(kept) }
  })
  const rankings = prunable.modules.map(({ units }) => rankUnits(Float64Array.from({ length: units }, (_, u) => u + 1)))
  const predictor = await predictorTrainers.curve({ model: prunable, rankings, evaluations, seed: 1 })
  const incumbents = targets.map((target) => [randomPolicy(prunable, target, random)])
  const { front } = await proposePolicies({
    ...{ agent: 'network', model: prunable, predictor, targets, count: 0, incumbents, seed: 1, round: 1, effort },
  })
  const protocol = { modelHash: null, metric: 'wanda', compensation: 'mean', windowLength: 64 }
  return { format: 'espalier-generator/1', shape, ...protocol, predictor: predictor.toJSON(), front }
}

/** Does the propose step of a round as the agent worker does. */
async function saveGenerator(round: number): Promise<void> {
  const artifacts = createArtifactStore(test.services.artifacts)
  const generator = await artifacts.putBytes(Buffer.from(JSON.stringify({ ...trained, round })))
  const step: NewStep = { kind: 'propose', round, index: 0, payload: { count: 0, incumbents: [] } }
  const state = 'SEARCHING'
  const counts = { round, rounds: 2, evaluationsDone: 0, evaluationsBudget: 99, fraction: 0 }
  const progress = { state, ...counts, densePerplexity: null, targets: [], predictorError: null } as const
  const plan = { state, steps: [step], progress, result: null, error: null } as const
  const advanced = await test.store.searches.advance(search.id, () => plan)
  const claim = { workerId: 'agent', leaseMs: 60_000 }
  const lease = await test.store.steps.claim(String(advanced?.created[0]?.id), claim)
  if (lease?.kind !== 'propose') throw new Error('there is no propose step')
  const result = { targets: targets.map(() => ({ policies: [] })), backend: 'wasm', seconds: 1 }
  expect(await test.store.steps.complete(lease, result, { generator })).toBe('recorded')
}

describe('POST /v1/searches/:id/policies:generate', () => {
  it('is refused until a round has trained a generator, and says so', async () => {
    const early = await generate(search.id, { sparsity: 0.3 })
    expect(early.statusCode).toBe(409)
    expect(early.json()).toMatchObject({ code: 'GENERATOR_NOT_TRAINED', details: { state: 'QUEUED' } })
    const { id } = await createSearch('uniform')
    expect((await generate(id, { sparsity: 0.3 })).json().detail).toMatch(/agent is "uniform"; only "network"/)
    const constrained = await createSearch('network', { constraints: { freezeLayers: [0] } })
    expect((await generate(constrained.id, { sparsity: 0.3 })).json().detail).toMatch(/without constraints only/)
  })

  it('gives a valid policy with what is expected of it', async () => {
    await saveGenerator(1)
    const { policies, round, range } = await policiesOf({ sparsity: 0.27 })
    expect([round, range]).toEqual([1, { least: 0.15, most: 0.45 }])
    const [given] = policies
    if (given === undefined) throw new Error('no policy')
    const prunable = createPrunableModel(model.shape)
    const rankings = prunable.modules.map(({ units }) => rankUnits(new Float64Array(units)))
    const { kept, sparsity } = resolvePolicyFile(given.policy, prunable, rankings)
    expect(kept).toEqual(given.keptUnits)
    expect(sparsity).toBe(given.sparsity)
    expect(0.27 - sparsity).toBeGreaterThanOrEqual(0)
    expect(0.27 - sparsity).toBeLessThan(1 / 5632)
    expect(given.predicted.low).toBeLessThan(given.predicted.perplexity)
    expect(given.predicted.high).toBeGreaterThan(given.predicted.perplexity)
    const removed = prunable.prunableParameters - keptParametersOf(prunable, kept)
    expect(given.parameters).toBe(model.shape.parameters - removed)
    expect(given.bytes).toBe(2 * given.parameters)
    const flops = (units: readonly number[]) =>
      countEvaluationFlops(model.shape, units, { windowLength: 64, windows: 1 })
    expect(given.speedup).toBe(flops(denseUnits(prunable)) / flops(kept))
    expect(given.speedup).toBeGreaterThan(1.1)
  })

  it('gives a monotone front for 40 sparsities in any order, the same one by one and all at once', async () => {
    const random = createRandomGenerator(9)
    const sparsities = Array.from({ length: 40 }, () => 0.15 + 0.3 * random.uniform())
    const { policies } = await policiesOf({ sparsities })
    expect(policies.map(({ sparsityTarget }) => sparsityTarget)).toEqual(sparsities)
    const alone: unknown[] = []
    for (const sparsity of [...sparsities].reverse()) alone.push(...(await policiesOf({ sparsity })).policies)
    expect(alone.reverse()).toEqual(policies)
    const sorted = [...policies].sort((a, b) => a.sparsityTarget - b.sparsityTarget)
    sorted.slice(1).forEach((sparser, index) => {
      const denser = sorted[index]
      expect(sparser.sparsity).toBeGreaterThanOrEqual(denser?.sparsity ?? 1)
      expect(sparser.predicted.perplexity).toBeGreaterThanOrEqual(denser?.predicted.perplexity ?? 0)
      expect(sparser.bytes).toBeLessThanOrEqual(denser?.bytes ?? 0)
    })
  })

  it('refuses what was not trained for, and what is no sparsity', async () => {
    const outside = await generate(search.id, { sparsities: [0.3, 0.46] })
    expect(outside.statusCode).toBe(422)
    expect(outside.headers['content-type']).toContain('application/problem+json')
    expect(outside.json()).toMatchObject({
      code: 'SPARSITY_UNTRAINED',
      details: { sparsity: 0.46, allowed: [0.15, 0.45] },
    })
    for (const payload of [{}, { sparsity: 0 }, { sparsity: 0.3, sparsities: [0.3] }, { sparsities: [] }, { s: 1 }]) {
      expect((await generate(search.id, payload)).json()).toMatchObject({ status: 400, code: 'REQUEST_INVALID' })
    }
  })

  it('does not exist for another team', async () => {
    const other = await test.addTeam('others')
    const answer = await generate(search.id, { sparsity: 0.3 }, { authorization: `Bearer ${other.key}` })
    expect(answer.json()).toMatchObject({ status: 404, code: 'RESOURCE_NOT_FOUND' })
    expect((await generate('sea_unknown', { sparsity: 0.3 })).statusCode).toBe(404)
  })

  it('leaves the event loop free', async () => {
    let answered = false
    const asked = { sparsities: Array.from({ length: 100 }, (_, index) => 0.2 + index / 1000) }
    const done = policiesOf(asked).finally(() => {
      answered = true
    })
    let turns = 0
    for (; !answered; turns++) await turn()
    await done
    expect(turns).toBeGreaterThan(5)
  })

  it('takes the generator of the latest round, and tells of one that is lost', async () => {
    await saveGenerator(2)
    expect((await policiesOf({ sparsity: 0.3 })).round).toBe(2)
    const broken = createHash('sha256').update('{}').digest('hex')
    await createArtifactStore(test.services.artifacts).putBytes(Buffer.from('{}'))
    await test.sql(`UPDATE "Generator" SET artifact = '${broken}' WHERE round = 2`)
    expect((await generate(search.id, { sparsity: 0.3 })).statusCode).toBe(500)
    await test.sql(`UPDATE "Generator" SET artifact = '${'0'.repeat(64)}' WHERE round = 2`)
    expect((await generate(search.id, { sparsity: 0.3 })).statusCode).toBe(500)
  })
})
