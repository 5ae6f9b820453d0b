import { createHash } from 'node:crypto'
import { EspalierError, type PolicyConstraints, resources, type SearchTarget } from '@espalier/contracts'
import { createPolicyRules, createRandomGenerator, type PolicyRules } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { type ProposeTask, proposePolicies } from './propose-policies.js'
import { demoShape } from './prunable-models.test-support.js'
import { planEffort } from './search-effort.js'

const effort = {
  ...planEffort(16),
  trainingSteps: 8,
  crossEntropySteps: 2,
  evolutionScores: 600,
  spreadScores: 600,
  noveltyScores: 300,
}
const latencies = {
  ...{ format: 'espalier-latencies/1' as const, device: 'test', contextLength: 64, fixedSeconds: 1 },
  attention: [0, 1, 2, 3].map((kept) => ({ kept, seconds: [0, 3, 3, 5][kept] ?? 0 })),
  ffn: [0, 64, 100, 512].map((kept) => ({ kept, seconds: Math.ceil(kept / 64) })),
}

const anyTarget: fc.Arbitrary<SearchTarget> = fc.oneof(
  fc.double({ min: 0.05, max: 0.6, noNaN: true }),
  fc.record({ resource: fc.constantFrom(...resources), ratio: fc.double({ min: 0.3, max: 1, noNaN: true }) }),
)
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const anyConstraints: fc.Arbitrary<PolicyConstraints> = fc.record({
  freezeLayers: optional(fc.uniqueArray(fc.nat(7), { maxLength: 3 })),
  only: fc.constantFrom(undefined, undefined, undefined, 'attention', 'ffn'),
  channelMultiple: fc.constantFrom(undefined, 8, 64, 128),
  wholeBlockDrop: fc.constantFrom(undefined, 'none', 'any'),
  bounds: optional(
    fc.tuple(fc.nat(512), fc.nat(7)).map(([minimum, layer]) => [{ module: 'ffn' as const, layers: [layer], minimum }]),
  ),
  limits: optional(
    fc.constantFrom(...resources).map((resource) => [
      { resource, ratio: 0.6 },
      { resource: 'kv-bytes', ratio: 0.7 },
    ]),
  ),
})

function compile(targets: readonly SearchTarget[], constraints: PolicyConstraints): PolicyRules | undefined {
  try {
    return createPolicyRules(demoShape, { targets, constraints }, latencies)
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'CONSTRAINTS_CONTRADICTORY') return undefined
    throw error
  }
}

const damage = (kept: readonly number[]) =>
  kept.reduce((sum, count, m) => sum + (1 + (m % 5)) / (1 + count * (m % 2 ? 1 : 90)), 0)
const taskOf = (rules: PolicyRules, agent: ProposeTask['agent'], seed: number): ProposeTask => ({
  ...{ agent, rules, seed, effort, model: rules.model, count: 8, round: 1, incumbents: [] },
  targets: rules.targets.map(({ sparsity }) => sparsity),
  predictor: { createScorer: () => damage },
})

describe('proposePolicies under constraints', () => {
  it('proposes only allowed policies, whatever the agent, the constraints and the target', async () => {
    let proposed = 0
    await fc.assert(
      fc.asyncProperty(anyTarget, anyTarget, anyConstraints, fc.nat(), async (one, other, constraints, seed) => {
        const rules = compile([one, other], constraints)
        if (!rules) return
        for (const agent of ['network', 'random', 'uniform'] as const) {
          const { targets } = await proposePolicies(taskOf(rules, agent, seed))
          targets.forEach(({ policies }, index) => {
            proposed += policies.length
            expect(policies.length).toBeGreaterThan(0)
            for (const { keptUnits } of policies) {
              expect(rules.targets[index]?.allowed?.has(keptUnits) ?? true).toBe(true)
              expect(
                keptUnits.every(
                  (count) => !constraints.channelMultiple || count < 4 || count % constraints.channelMultiple === 0,
                ),
              ).toBe(true)
              for (const layer of constraints.freezeLayers ?? [])
                expect(keptUnits.slice(2 * layer, 2 * layer + 2)).toEqual([3, 512])
            }
            expect(new Set(policies.map(({ keptUnits }) => keptUnits.join())).size).toBe(policies.length)
          })
        }
      }),
      { numRuns: 12 },
    )
    expect(proposed).toBeGreaterThan(60)
  })

  it('finds better policies than uniform and random ones at a limit of weight bytes in multiples of 64', async () => {
    const rules = compile([{ resource: 'weight-bytes', ratio: 0.7 }], { channelMultiple: 64 })
    if (!rules) throw new Error('The constraints contradict each other')
    const { targets } = await proposePolicies(taskOf(rules, 'network', 3))
    const best = damage(targets[0]?.policies[0]?.keptUnits ?? [])
    const random = createRandomGenerator(1)
    const target = rules.targets[0]
    expect(best).toBeLessThan(damage(target?.uniform() ?? []))
    for (let draw = 0; draw < 200; draw++) expect(best).toBeLessThanOrEqual(damage(target?.random(random) ?? []))
  })

  it('proposes without constraints what it always proposed', async () => {
    const targets = [0.2, 0.35, 0.5]
    const rules = createPolicyRules(demoShape, { targets, constraints: { freezeLayers: [] } })
    for (const agent of ['network', 'random'] as const) {
      const { rules: _rules, ...task } = taskOf(rules, agent, 1)
      expect(await proposePolicies({ ...task, rules })).toEqual(await proposePolicies({ ...task, targets }))
    }
    const { targets: random } = await proposePolicies({ ...taskOf(rules, 'random', 1), count: 12 })
    // Of the version before there were constraints.
    expect(createHash('sha256').update(JSON.stringify(random)).digest('hex').slice(0, 16)).toBe('b6e959a1ce18e1fd')
  })
})
