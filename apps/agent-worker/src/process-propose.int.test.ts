import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { proposeResultSchema } from '@espalier/contracts'
import { createPolicyRules, createPrunableModel, sparsityOf } from '@espalier/pruning'
import type { Lease } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { settings, shape, targets, trainSmallPredictor } from './agent-worker.test-support.js'
import { createProposer, type Proposer } from './create-proposer.js'
import { processPropose } from './process-propose.js'

function leaseOf(changes: Partial<Lease<'propose'>['settings']>): Lease<'propose'> {
  return {
    stepId: 'step',
    fencingToken: 1,
    workerId: 'worker',
    searchId: 'search',
    teamId: 'team',
    round: 2,
    kind: 'propose',
    index: 0,
    payload: { count: 6, incumbents: targets.map(() => []) },
    attempts: 1,
    settings: { ...settings, ...changes },
    model: { id: 'model', name: 'model', path: '/model', source: null, revision: null, shape, hash: null },
  }
}

describe('processPropose', () => {
  const model = createPrunableModel(shape)
  const parameters: unknown = JSON.parse(JSON.stringify(trainSmallPredictor().toJSON()))
  const store = { predictors: { loadParameters: async () => parameters } }
  let proposer: Proposer
  const stored: unknown[] = []
  const artifacts = {
    putBytes: async (bytes: Uint8Array) => {
      stored.push(JSON.parse(Buffer.from(bytes).toString()))
      return createHash('sha256').update(bytes).digest('hex')
    },
  }
  const running = { signal: new AbortController().signal }

  beforeAll(async () => {
    proposer = await createProposer()
  })
  afterAll(() => proposer.close())

  it('proposes by the network while the main thread stays free', async () => {
    let beats = 0
    const heart = setInterval(() => beats++, 20)
    const lease = leaseOf({ agent: 'network', metric: 'auto', compensation: 'auto' })
    const method = { metric: 'fluctuation', compensation: 'least-squares' } as const
    const chosen = { ...lease, payload: { ...lease.payload, method } }
    const { result } = await processPropose({ store, proposer, artifacts }, chosen, running)
    clearInterval(heart)
    expect(stored).toEqual([expect.objectContaining({ format: 'espalier-generator/1', ...method })])
    expect(proposeResultSchema.parse(result)).toEqual(result)
    expect(result.backend).toBe(proposer.backend)
    // The work takes hundreds of milliseconds; at half the rate the main thread would have been busy.
    expect(beats).toBeGreaterThan((result.seconds * 1000) / 40)
    result.targets.forEach(({ policies }, index) => {
      expect(policies).toHaveLength(6)
      for (const { keptUnits } of policies) {
        expect(Math.abs(sparsityOf(model, keptUnits) - (targets[index] ?? 0))).toBeLessThan(2e-4)
      }
    })
  })

  it('gives the same policies whoever does the step', async () => {
    const other = await createProposer()
    const [here, there] = await Promise.all(
      [proposer, other].map((p) =>
        processPropose({ store, proposer: p, artifacts }, leaseOf({ agent: 'network' }), running),
      ),
    )
    await other.close()
    expect(here?.result.targets).toEqual(there?.result.targets)
  })

  it('needs no predictor for the random agent', async () => {
    const without = { predictors: { loadParameters: () => Promise.reject(new Error('asked for a predictor')) } }
    const { result } = await processPropose(
      { store: without, proposer, artifacts },
      leaseOf({ agent: 'random' }),
      running,
    )
    expect(result.targets.map(({ policies }) => policies.length)).toEqual([6, 6])
    expect(result.backend).toBe('none')
  })

  it('keeps the constraints of the search', async () => {
    const constraints = { channelMultiple: 4, freezeLayers: [0] }
    const rules = createPolicyRules(shape, { targets, constraints })
    const { result } = await processPropose(
      { store, proposer, artifacts },
      leaseOf({ agent: 'network', constraints }),
      running,
    )
    result.targets.forEach(({ policies }, index) => {
      expect(policies.length).toBeGreaterThan(0)
      for (const { keptUnits } of policies) expect(rules.targets[index]?.allowed?.has(keptUnits)).toBe(true)
    })
  })

  it('stops at once when aborted, and works again afterwards', async () => {
    const controller = new AbortController()
    const stopped = processPropose({ store, proposer, artifacts }, leaseOf({ agent: 'network' }), {
      signal: controller.signal,
    })
    const outcome = expect(stopped).rejects.toThrow('cancelled by a person')
    await sleep(150)
    const aborted = performance.now()
    controller.abort(new Error('cancelled by a person'))
    await outcome
    expect(performance.now() - aborted).toBeLessThan(10_000)
    const { result } = await processPropose({ store, proposer, artifacts }, leaseOf({ agent: 'network' }), running)
    expect(result.targets[0]?.policies).toHaveLength(6)
  })

  it('passes on what the agent throws, with its code', async () => {
    const broken = { predictors: { loadParameters: async () => ({ format: 'something else' }) } }
    await expect(
      processPropose({ store: broken, proposer, artifacts }, leaseOf({ agent: 'network' }), running),
    ).rejects.toThrow(expect.objectContaining({ name: 'EspalierError' }))
    await expect(
      processPropose({ store, proposer, artifacts }, leaseOf({ agent: 'uniform', targets: [0.9999] }), running),
    ).rejects.toThrow(expect.objectContaining({ code: 'SPARSITY_UNREACHABLE' }))
  })
})
