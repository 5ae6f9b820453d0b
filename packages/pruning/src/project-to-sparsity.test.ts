import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { modelShape } from './model-shape.test-support.js'
import { projectToSparsity } from './project-to-sparsity.js'
import { createPrunableModel, type PrunableModel } from './prunable-model.js'
import { createRandomGenerator } from './random-generator.js'
import { randomPolicy } from './random-policy.js'
import { checkKeptUnits, denseUnits, keptParametersOf, sparsityOf } from './sparsity.js'
import { maximumSparsityOf } from './sparsity-budget.js'
import { uniformPolicy } from './uniform-policy.js'

const models = fc
  .record({
    layers: fc.integer({ min: 1, max: 6 }),
    kvHeads: fc.integer({ min: 1, max: 8 }),
    queryHeadsPerGroup: fc.integer({ min: 1, max: 4 }),
    headDim: fc.integer({ min: 1, max: 16 }),
    hiddenSize: fc.integer({ min: 1, max: 40 }),
    ffnChannels: fc.integer({ min: 1, max: 120 }),
  })
  .map(({ queryHeadsPerGroup, ...rest }) =>
    createPrunableModel(modelShape({ ...rest, queryHeads: rest.kvHeads * queryHeadsPerGroup })),
  )

/** A model, wanted counts (also outside the range) and a reachable sparsity. */
const projections = models.chain((model) =>
  fc.record({
    model: fc.constant(model),
    wanted: fc.tuple(...model.modules.map(({ units }) => fc.double({ min: -units, max: 2 * units, noNaN: true }))),
    sparsity: fc.double({ min: 0, max: 1, noNaN: true }).map((share) => share * maximumSparsityOf(model)),
  }),
)

/** Most parameters that any policy within the bounds removes without passing the budget: every (groups, channels). */
function mostRemovable(model: PrunableModel, sparsity: number): number {
  const [attention, ffn] = model.modules
  if (attention === undefined || ffn === undefined) throw new Error('a model has modules')
  const budget = sparsity * model.prunableParameters
  let best = 0
  for (let groups = 0; groups <= model.layers * attention.units; groups++) {
    for (let channels = 0; channels <= model.layers * (ffn.units - 1); channels++) {
      const removed = groups * attention.parametersPerUnit + channels * ffn.parametersPerUnit
      if (removed <= budget && removed > best) best = removed
    }
  }
  return best
}

function expectAtSparsity(model: PrunableModel, kept: readonly number[], sparsity: number): void {
  checkKeptUnits(model, kept)
  for (const module of model.modules) {
    if (module.kind === 'ffn') expect(kept[module.index]).toBeGreaterThanOrEqual(1)
  }
  const smallestUnit = Math.min(...model.modules.map((module) => module.parametersPerUnit))
  const removed = model.prunableParameters - keptParametersOf(model, kept)
  expect(removed).toBeLessThanOrEqual(sparsity * model.prunableParameters * (1 + 1e-15))
  expect(mostRemovable(model, sparsity) - removed).toBeLessThan(smallestUnit)
}

describe('projectToSparsity', () => {
  it('gives counts in range, at most the sparsity, less than one smallest unit under the largest possible', () => {
    fc.assert(
      fc.property(projections, ({ model, wanted, sparsity }) => {
        expectAtSparsity(model, projectToSparsity(model, wanted, sparsity), sparsity)
      }),
      { numRuns: 400 },
    )
  })

  it('leaves a policy at the sparsity as it is, also when the sparsity given is the one it has', () => {
    fc.assert(
      fc.property(projections, ({ model, wanted, sparsity }) => {
        const once = projectToSparsity(model, wanted, sparsity)
        expect(projectToSparsity(model, once, sparsity)).toEqual(once)
        expect(projectToSparsity(model, once, sparsityOf(model, once))).toEqual(once)
      }),
      { numRuns: 400 },
    )
  })

  it('leaves any policy that keeps as many parameters as its projection, where only groups could trade places too', () => {
    let between = 0
    fc.assert(
      fc.property(models, fc.nat(), (model, seed) => {
        const random = createRandomGenerator(seed)
        const channelsLeft = random.uniform() < 0.7 ? 1 : 2
        const kept = model.modules.map(({ kind, units }) =>
          kind === 'attention' ? random.integer(units + 1) : Math.min(units, channelsLeft),
        )
        // Up to one group more: channels at their least cannot take that up.
        const more = (random.uniform() * (model.modules[0]?.parametersPerUnit ?? 0)) / model.prunableParameters
        const sparsity = Math.min(maximumSparsityOf(model), sparsityOf(model, kept) + more)
        const projected = projectToSparsity(model, kept, sparsity)
        if (keptParametersOf(model, projected) !== keptParametersOf(model, kept)) return
        between++
        expect(projected).toEqual(kept)
      }),
      { numRuns: 1000 },
    )
    expect(between).toBeGreaterThan(50)
  })

  it('keeps the order that was wanted among modules of one kind', () => {
    fc.assert(
      fc.property(projections, ({ model, wanted, sparsity }) => {
        const kept = projectToSparsity(model, wanted, sparsity)
        for (const a of model.modules) {
          for (const b of model.modules) {
            if (a.kind !== b.kind || (wanted[a.index] ?? 0) <= (wanted[b.index] ?? 0)) continue
            expect(kept[a.index]).toBeGreaterThanOrEqual((kept[b.index] ?? 0) - 1)
          }
        }
      }),
      { numRuns: 200 },
    )
  })

  it('refuses a sparsity that cannot be reached and a wanted count that is not a number', () => {
    const model = createPrunableModel(modelShape({ layers: 2, ffnChannels: 100 }))
    const dense = denseUnits(model)
    for (const sparsity of [0.9999, 1, 1.5, -0.1, Number.NaN]) {
      expect(() => projectToSparsity(model, dense, sparsity)).toThrow(
        expect.objectContaining({ code: 'SPARSITY_UNREACHABLE' }),
      )
    }
    expect(() => projectToSparsity(model, [1, Number.NaN, 1, 1], 0.5)).toThrow(/layer 0 feed-forward/)
  })
})

describe('uniformPolicy', () => {
  it('is at the sparsity on any model, with the same groups everywhere and channels at most one apart', () => {
    fc.assert(
      fc.property(models, fc.double({ min: 0, max: 1, noNaN: true }), (model, share) => {
        const sparsity = share * maximumSparsityOf(model)
        const kept = uniformPolicy(model, sparsity)
        checkKeptUnits(model, kept)
        expect(sparsityOf(model, kept)).toBeLessThanOrEqual(sparsity + 1e-12)
        const channels = kept.filter((_, index) => index % 2 === 1)
        expect(new Set(kept.filter((_, index) => index % 2 === 0)).size).toBe(1)
        expect(Math.max(...channels) - Math.min(...channels)).toBeLessThanOrEqual(1)
        expect(Math.min(...channels)).toBeGreaterThanOrEqual(1)
      }),
      { numRuns: 300 },
    )
  })

  it('equals the uniform policies that other search methods were compared with on the bundled model', () => {
    const model = createPrunableModel(modelShape({}))
    const first = (count: number, layer: readonly number[], last: readonly number[]) =>
      Array.from({ length: 8 }, (_, index) => (index < count ? layer : last)).flat()
    expect(uniformPolicy(model, 0.2)).toEqual(first(6, [3, 371], [3, 372]))
    expect(uniformPolicy(model, 0.35)).toEqual(first(3, [2, 329], [2, 330]))
    expect(uniformPolicy(model, 0.5)).toEqual(first(8, [2, 224], []))
    expect(sparsityOf(model, uniformPolicy(model, 0.2))).toBeCloseTo(0.1999289772727273, 14)
    expect(sparsityOf(model, uniformPolicy(model, 0.35))).toBeCloseTo(0.34996448863636365, 14)
  })
})

describe('randomPolicy', () => {
  it('is at the sparsity, the same for the same stream and heterogeneous', () => {
    fc.assert(
      fc.property(projections, fc.nat(), ({ model, sparsity }, seed) => {
        const kept = randomPolicy(model, sparsity, createRandomGenerator(seed, 'initial'))
        expectAtSparsity(model, kept, sparsity)
        expect(randomPolicy(model, sparsity, createRandomGenerator(seed, 'initial'))).toEqual(kept)
      }),
      { numRuns: 200 },
    )
    const model = createPrunableModel(modelShape({}))
    const random = createRandomGenerator(3)
    const policies = Array.from({ length: 50 }, () => randomPolicy(model, 0.35, random))
    expect(new Set(policies.map(String)).size).toBe(50)
    const channels = policies.map((kept) => kept.filter((_, index) => index % 2 === 1))
    expect(channels.filter((counts) => Math.max(...counts) - Math.min(...counts) > 50).length).toBeGreaterThan(35)
  })
})
