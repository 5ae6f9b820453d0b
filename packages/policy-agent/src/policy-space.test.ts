import { createRandomGenerator, keptParametersOf, projectToSparsity, randomPolicy, sparsityOf } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createPolicySpace } from './policy-space.js'
import { modelOf, modelsAndTargets } from './prunable-models.test-support.js'

/** A sparsity that is a whole number of channels but for the last bit: all must round it the same way. */
const boundaryCase = {
  model: modelOf({ layers: 2, kvHeads: 5, queryHeads: 5, headDim: 12, hiddenSize: 4, ffnChannels: 71 }),
  target: 0.9834437086092707,
}

describe('createPolicySpace', () => {
  it('repairs any counts into a policy as close to the sparsity as projection comes, within one channel', () => {
    fc.assert(
      fc.property(modelsAndTargets, fc.integer(), ({ model, target }, seed) => {
        const random = createRandomGenerator(seed)
        const space = createPolicySpace(model, target)
        const kept = model.modules.map(({ units, kind }) => (kind === 'ffn' ? 1 : 0) + random.integer(units))
        space.repair(kept, random)
        const projected = projectToSparsity(model, kept, target)
        const channel = Math.max(...model.modules.map((m) => (m.kind === 'ffn' ? m.parametersPerUnit : 0)))
        expect(Math.abs(keptParametersOf(model, projected) - keptParametersOf(model, kept))).toBeLessThan(channel)
        expect(sparsityOf(model, kept)).toBeLessThanOrEqual(target + 1e-12)
      }),
      { examples: [[boundaryCase, 0]] },
    )
  })

  it('repairs with the last modules alone where they suffice, and says where they do not', () => {
    const repaired = new Set<boolean>()
    fc.assert(
      fc.property(modelsAndTargets, fc.integer(), ({ model, target }, seed) => {
        const random = createRandomGenerator(seed)
        const space = createPolicySpace(model, target)
        const start = randomPolicy(model, target, random)
        const first = random.integer(start.length)
        const kept = start.map((count, m) => (m < first ? count : Math.floor(count * random.uniform()) + (m % 2)))
        const isDone = space.repair(kept, random, first)
        repaired.add(isDone)
        if (!isDone) return
        expect(kept.slice(0, first)).toEqual(start.slice(0, first))
        if (first > 0) expect(space.project(kept)).toEqual(kept)
      }),
    )
    expect(repaired.has(true)).toBe(true)
  })

  it('ends where groups outweigh all channels together', () => {
    const model = modelOf({ layers: 2, kvHeads: 4, queryHeads: 8, headDim: 64, hiddenSize: 8, ffnChannels: 3 })
    const random = createRandomGenerator(5)
    for (const target of [0.05, 0.1, 0.3, 0.5, 0.9]) {
      const space = createPolicySpace(model, target)
      for (let start = 0; start < 200; start++) {
        const kept = model.modules.map(({ units, kind }) => (kind === 'ffn' ? 1 + random.integer(units) : units))
        space.repair(kept, random)
        expect(sparsityOf(model, kept)).toBeLessThanOrEqual(target + 1e-12)
      }
    }
  })

  it('measures distance as the share of parameters that only one policy keeps', () => {
    const model = modelOf({ layers: 2, kvHeads: 2, queryHeads: 2, headDim: 3, hiddenSize: 4, ffnChannels: 12 })
    const space = createPolicySpace(model, 0.5)
    // A group has 4 * 3 * 4 = 48 parameters, a channel 3 * 4 = 12, the model 2 * (2 * 48 + 12 * 12) = 480.
    expect(space.distance([2, 6, 1, 6], [1, 10, 1, 6])).toBeCloseTo((48 + 4 * 12) / 480, 12)
    expect(space.distance([1, 10, 1, 6], [1, 10, 1, 6])).toBe(0)
  })

  it('makes zero logits the even policy and gives a module more the higher its logit', () => {
    const model = modelOf({ layers: 4, kvHeads: 8, queryHeads: 8, headDim: 16, hiddenSize: 64, ffnChannels: 256 })
    const space = createPolicySpace(model, 0.5)
    expect(space.fromLogits([0, 0, 0, 0, 0, 0, 0, 0])).toEqual([4, 128, 4, 128, 4, 128, 4, 128])
    const kept = space.fromLogits([0, 1, 0, 0, 0, 0, 0, -1])
    expect(kept[1]).toBeGreaterThan(160)
    expect(kept[7]).toBeLessThan(96)
    expect(randomPolicy(model, 0.5, createRandomGenerator(1))).toHaveLength(8)
  })
})
