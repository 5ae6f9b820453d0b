import {
  checkKeptUnits,
  createRandomGenerator,
  keptParametersOf,
  type PrunableModel,
  projectToSparsity,
  randomPolicy,
  sparsityOf,
  uniformPolicy,
} from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { buildPolicyFront } from './build-policy-front.js'
import { createPolicyGenerator } from './create-policy-generator.js'
import { evaluatePolicyNetwork } from './evaluate-policy-network.js'
import type { PolicyFront } from './policy-front.js'
import { PolicyNetwork, type PolicyNetworkCheckpoint } from './policy-network.js'
import { demoModel, modelOf, modelsAndTargets } from './prunable-models.test-support.js'
import { planEffort } from './search-effort.js'

/** Enough where the quality of the policies is not the question. */
const quick = { ...planEffort(16).front, anchors: 3, anchorScores: 100, swaps: 4 }

const smallModel = modelOf({ layers: 4, kvHeads: 3, queryHeads: 6, headDim: 8, hiddenSize: 32, ffnChannels: 128 })

/** Where all blocks are full, only KV groups can grow, which are no whole number of channels. */
const fullBlocks = { layers: 5, kvHeads: 6, queryHeads: 6, headDim: 14, hiddenSize: 4, ffnChannels: 20 }

/** A network that nobody trained. */
function anyNetwork(modules: number, seed: number): PolicyNetworkCheckpoint {
  const random = createRandomGenerator(seed, 'network')
  const hiddenUnits = 4
  const weights = [2 * hiddenUnits, hiddenUnits, hiddenUnits * modules, modules].map((size) =>
    Array.from({ length: size }, () => random.normal()),
  )
  return { format: 'espalier-policy-network/1', modules, hiddenUnits, weights }
}

/** Steps up and down a block, like those of a predictor that is not smooth. */
const STEPS = 12

/** A rise that adds up and bends, with small steps in it when `uneven`. */
function createWorld(model: PrunableModel, seed: number, uneven: boolean) {
  const random = createRandomGenerator(seed, 'world')
  const blocks = model.modules.map(({ units }) => ({
    units,
    scale: Math.exp(random.normal()) * 0.1,
    exponent: 1 + random.uniform(),
    steps: Array.from({ length: uneven ? STEPS : 0 }, () => ({
      above: random.integer(units + 1),
      height: 0.001 * random.normal(),
    })),
  }))
  const score = (kept: readonly number[]) =>
    blocks.reduce((sum, { units, scale, exponent, steps }, m) => {
      const count = kept[m] ?? 0
      const heights = steps.reduce((total, { above, height }) => (count > above ? total + height : total), 0)
      return sum + scale * (1 - count / units) ** exponent + heights
    }, 3)
  return { createScorer: () => score }
}

interface Case {
  readonly model: PrunableModel
  readonly targets: readonly number[]
  readonly seed: number
  readonly effort?: typeof quick
  readonly uneven?: boolean
}

function generatorOf({ model, targets, seed, effort = quick, uneven = true }: Case) {
  const predictor = createWorld(model, seed, uneven)
  const score = predictor.createScorer()
  const random = createRandomGenerator(seed, 'measured')
  const measured = targets.flatMap((target) => [
    uniformPolicy(model, target),
    randomPolicy(model, target, random),
    randomPolicy(model, target, random),
  ])
  const network = anyNetwork(model.modules.length, seed)
  const front = buildPolicyFront({ model, score, targets, network, measured, seed, effort })
  const stored = JSON.parse(JSON.stringify(front)) as PolicyFront
  return { generator: createPolicyGenerator(stored, { model, predictor }), front, score, measured }
}

/** Sparsities of the range in any order, its ends among them. */
function drawSparsities([least, most]: readonly [number, number], count: number, seed: number): number[] {
  const random = createRandomGenerator(seed, 'asked')
  const drawn = Array.from({ length: count }, () => least + (most - least) * random.uniform())
  return random.shuffle([least, most, ...drawn])
}

function expectAtSparsity(model: PrunableModel, kept: readonly number[], sparsity: number): void {
  checkKeptUnits(model, kept)
  const channel = model.modules[1]?.parametersPerUnit ?? 0
  const removed = model.prunableParameters - keptParametersOf(model, kept)
  expect(removed).toBeLessThanOrEqual(sparsity * model.prunableParameters * (1 + 1e-15))
  expect(removed).toBeGreaterThan(sparsity * model.prunableParameters - channel - 1)
}

describe('createPolicyGenerator', () => {
  it('gives a valid policy at any sparsity of the range, for any model', () => {
    fc.assert(
      fc.property(modelsAndTargets, fc.nat(), ({ model, target }, seed) => {
        const { generator } = generatorOf({ model, targets: [target], seed, effort: { ...quick, steps: 30 } })
        for (const sparsity of drawSparsities(generator.range, 12, seed)) {
          expectAtSparsity(model, generator.generate(sparsity), sparsity)
        }
      }),
      { numRuns: 40, examples: [[{ model: modelOf(fullBlocks), target: 0.009924242424242424 }, 82337281]] },
    )
  })

  it('gives policies none of which is dominated by another, whatever is asked in whatever order', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom([4000, true] as const, [20, false] as const), (seed, [steps, uneven]) => {
        const effort = { ...quick, steps }
        const { generator, score, front } = generatorOf({
          model: smallModel,
          targets: [0.2, 0.4],
          seed,
          effort,
          uneven,
        })
        expect(front.channelsPerStep === 1).toBe(uneven)
        const given = drawSparsities(generator.range, 40, seed).map((sparsity) => {
          const kept = generator.generate(sparsity)
          return { sparsity, reached: sparsityOf(smallModel, kept), score: score(kept) }
        })
        given.sort((a, b) => a.sparsity - b.sparsity)
        given.slice(1).forEach((sparser, index) => {
          expect(sparser.reached).toBeGreaterThanOrEqual(given[index]?.reached ?? 0)
          expect(sparser.score).toBeGreaterThanOrEqual(given[index]?.score ?? 0)
        })
      }),
      { numRuns: 16 },
    )
  })

  it('never gives a policy that is predicted worse than a measured one projected to its sparsity', () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { generator, score, measured } = generatorOf({
          model: smallModel,
          targets: [0.2, 0.4],
          seed,
          uneven: false,
        })
        for (const sparsity of drawSparsities(generator.range, 40, seed)) {
          const kept = generator.generate(sparsity)
          const reached = sparsityOf(smallModel, kept)
          for (const known of measured) {
            const projected = projectToSparsity(smallModel, known, reached)
            expect(score(kept)).toBeLessThanOrEqual(score(projected))
          }
        }
      }),
      { numRuns: 6 },
    )
  })

  it('gives the same policy for the same sparsity, whatever was asked before', () => {
    const model = smallModel
    const { generator } = generatorOf({ model, targets: [0.3], seed: 5 })
    const asked = drawSparsities(generator.range, 20, 7)
    const first = asked.map((sparsity) => generator.generate(sparsity))
    const again = generatorOf({ model, targets: [0.3], seed: 5 }).generator
    expect([...asked].reverse().map((sparsity) => again.generate(sparsity))).toEqual([...first].reverse())
  })

  it('is as good as a long search at a sparsity of its own, between the targets too', () => {
    const targets = [0.2, 0.5]
    const effort = planEffort(16).front
    const { generator, score } = generatorOf({ model: demoModel, targets, seed: 3, effort, uneven: false })
    const random = createRandomGenerator(1)
    for (const sparsity of [0.2, 0.27, 0.35, 0.44, 0.5]) {
      const kept = generator.generate(sparsity)
      const drawn = Array.from({ length: 500 }, () => score(randomPolicy(demoModel, sparsity, random)))
      const damage = score(kept) - 3
      expect(damage).toBeLessThan(0.8 * (Math.min(...drawn) - 3))
      expect(damage).toBeLessThan(0.8 * (score(uniformPolicy(demoModel, sparsity)) - 3))
    }
  })

  it('refuses a sparsity outside the range and names the range', () => {
    const { generator } = generatorOf({ model: smallModel, targets: [0.2, 0.4], seed: 1 })
    expect(generator.range).toEqual([0.15, 0.45])
    for (const sparsity of [0.1499, 0.4501, Number.NaN]) {
      expect(() => generator.generate(sparsity)).toThrow(
        expect.objectContaining({
          code: 'SPARSITY_UNTRAINED',
          details: expect.objectContaining({ allowed: [0.15, 0.45] }),
        }),
      )
    }
  })
})

describe('evaluatePolicyNetwork', () => {
  it('gives what the network gives in TensorFlow.js', async () => {
    const { tf } = await loadTensorBackend()
    const network = PolicyNetwork.create(tf, 16, 48, createRandomGenerator(2))
    const checkpoint = network.checkpoint()
    for (const sparsity of [0.05, 0.35, 0.7]) {
      const [expected = []] = network.logits([sparsity])
      evaluatePolicyNetwork(checkpoint, sparsity).forEach((logit, module) => {
        expect(Math.abs(logit - (expected[module] ?? Number.NaN))).toBeLessThan(1e-5)
      })
    }
    network.dispose()
  })
})
