/** The ladder on models with many modules, whose probes take much of a budget: 30 layers are SmolLM2-135M's, 80 Llama-70B's. */
import type { ModelShape, SearchSettings, StepRecord } from '@espalier/contracts'
import { createPrunableModel, createRandomGenerator } from '@espalier/pruning'
import { beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { planBudget } from './plan-budget.js'
import { rungsOf } from './rungs.js'
import { type Simulation, simulateSearch } from './simulate-search.test-support.js'
import { trainingEvaluations } from './training-evaluations.js'

const shapeOf = (layers: number): ModelShape => ({
  ...{ architecture: 'llama', layers, hiddenSize: 64, queryHeads: 6, kvHeads: 3, headDim: 16, ffnChannels: 256 },
  ...{ vocabularySize: 512, maxPositions: 512, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 1_000_000, weightBytes: 2_000_000 },
})

const settingsOf = (change: Partial<SearchSettings>): SearchSettings => ({
  ...{ targets: [0.2, 0.35, 0.5], budget: 99, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ fidelity: 'auto', windowLength: 256, calibrationWindows: 8, validationWindows: 16, finalWindows: null },
  ...{ finalists: 3, minimumImprovement: 0, exports: ['onnx'] },
  texts: { calibration: 'c', validation: 'v', test: 't' },
  ...change,
})

/** The text begins with easy windows: on a lower rung every policy has a perplexity far below that of the dense model. */
const difficultyOf = (window: number): number => (window < 4 ? 0 : 1)

/** Log-perplexity of the dense model of simulations on the first windows. */
function denseOn(windows: number): number {
  const difficulties = Array.from({ length: windows }, (_, window) => difficultyOf(window))
  return 3 + difficulties.reduce((sum, value) => sum + value, 0) / windows
}

const anyBudget = fc
  .record({
    targets: fc.uniqueArray(fc.constantFrom(0.1, 0.2, 0.35, 0.5), { minLength: 1, maxLength: 3 }),
    // From the smallest that is accepted to one that pays for every probe in full.
    budget: fc.oneof(fc.integer({ min: 4, max: 40 }), fc.integer({ min: 41, max: 2000 })),
    windowLength: fc.constantFrom(64, 256, 512),
    validationWindows: fc.constantFrom(8, 16, 64),
    trials: fc.constantFrom(0, 2, 3),
  })
  .filter(({ trials, budget }) => trials <= budget / 10)
  .map(({ trials, ...change }) => ({ ...settingsOf(change), trials }))

describe('the budget of a model with many modules', () => {
  it('is kept, and puts all probes on the longest rung that they can afford, else on the shortest', () => {
    fc.assert(
      fc.property(fc.constantFrom(30, 80), anyBudget, fc.boolean(), (layers, settings, longerFinal) => {
        const budget = planBudget(settings, createPrunableModel(shapeOf(layers)), longerFinal)
        const targets = settings.targets.length
        const proposals = budget.perRound.reduce((sum, count) => sum + count * targets, 0)
        const others = 1 + targets + settings.trials + budget.finalists * targets
        const probes = (budget.probes * budget.probeWindows) / settings.validationWindows
        expect(others + probes + budget.randoms + proposals).toBeLessThanOrEqual(settings.budget + 1e-9)
        if (budget.probes === 0) return
        const modules = 2 * layers
        const free = settings.budget - others
        const shareAt = (windows: number) => (modules * windows) / settings.validationWindows / free
        const rungs = rungsOf(settings)
        expect(budget.probeWindows).toBe(rungs.find((windows) => shareAt(windows) <= 0.2) ?? rungs.at(-1))
        if (shareAt(budget.probeWindows) <= 0.7) expect(budget.probes).toBe(modules)
        else expect(budget.probes).toBeLessThan(modules)
      }),
      { numRuns: 500 },
    )
  })

  it.each([
    [30, { budget: 600 }, 16, 60],
    [30, { budget: 99 }, 4, 60],
    [30, { budget: 33 }, 4, 60],
    [30, { budget: 12 }, 4, 20],
    [30, { budget: 99, validationWindows: 64 }, 16, 60],
    [80, { budget: 99 }, 4, 160],
    [80, { budget: 99, validationWindows: 64 }, 4, 160],
    [80, { budget: 400, validationWindows: 64 }, 16, 160],
    [80, { budget: 30, validationWindows: 64 }, 4, 160],
  ])('%i layers, %j: %i windows a probe, %i probes', (layers, change, probeWindows, probes) => {
    const budget = planBudget({ ...settingsOf(change), trials: 0 }, createPrunableModel(shapeOf(layers)), true)
    expect(budget).toMatchObject({ probeWindows, probes })
  })
})

describe.each<[number, Partial<SearchSettings>]>([
  [30, { budget: 4 }],
  [30, { budget: 9, finalWindows: 16 }],
  [30, { budget: 99 }],
  [30, { budget: 60, validationWindows: 64, metric: 'auto', targets: [0.35] }],
  [80, { budget: 5 }],
  [80, { budget: 14 }],
  [80, { budget: 40, validationWindows: 64 }],
])('a search of a model of %i layers, %j', (layers, change) => {
  const settings = settingsOf(change)
  const { validationWindows } = settings
  const model = createPrunableModel(shapeOf(layers))
  let simulation: Simulation
  beforeAll(() => {
    simulation = simulateSearch({ shape: shapeOf(layers), settings, order: createRandomGenerator(1), difficultyOf })
  })
  const evaluations = (): StepRecord<'evaluate'>[] => simulation.steps.filter((step) => step.kind === 'evaluate')
  const measuredInFull = (kept: readonly number[]) =>
    evaluations()
      .filter(({ payload }) => payload.split === 'validation' && payload.windows === validationWindows)
      .find(({ payload }) => `${payload.keptUnits}` === `${kept}`)?.result

  it('comes to its end within its budget', () => {
    expect(simulation.plan.state).toBe('SUCCEEDED')
    expect(simulation.plan.progress.fraction).toBe(1)
    const onValidation = evaluations().filter(({ payload }) => payload.split === 'validation')
    const cost = onValidation.reduce((sum, { payload }) => sum + Math.min(1, payload.windows / validationWindows), 0)
    expect(cost).toBeLessThanOrEqual(settings.budget + 1e-9)
    expect(cost).toBeGreaterThan(settings.budget - 1 - settings.targets.length)
  })

  it('probes every module once, on one rung, or none', () => {
    const probes = evaluations().filter(({ payload }) => payload.purpose === 'probe')
    const isPruned = ({ payload }: (typeof probes)[number]) =>
      model.modules.filter(({ index, units }) => payload.keptUnits[index] !== units).map(({ index }) => index)
    const pruned = probes.flatMap(isPruned).sort((a, b) => a - b)
    expect(pruned).toEqual(probes.length === 0 ? [] : model.modules.map(({ index }) => index))
    expect(new Set(probes.map(({ payload }) => payload.windows)).size).toBeLessThanOrEqual(1)
    const cheap = evaluations().filter(({ payload }) => payload.windows < validationWindows)
    expect(cheap.filter(({ payload }) => payload.purpose !== 'probe')).toEqual([])
  })

  it('learns from probes what they cost against the dense model on the same windows', () => {
    const method = simulation.plan.result?.method
    if (!method) throw new Error('The search has chosen no method')
    const learnt = trainingEvaluations(simulation.steps, settings, method)
    const dense = learnt.find(({ purpose }) => purpose === 'dense')?.logPerplexity ?? Number.NaN
    const probes = evaluations().filter(({ payload }) => payload.purpose === 'probe')
    expect(learnt.filter(({ purpose }) => purpose === 'probe')).toHaveLength(probes.length)
    for (const { payload, result } of probes) {
      const found = learnt.find(({ purpose, kept }) => purpose === 'probe' && `${kept}` === `${payload.keptUnits}`)
      const rise = (result?.logPerplexity ?? Number.NaN) - denseOn(payload.windows)
      expect(rise).toBeGreaterThan(0)
      expect((found?.logPerplexity ?? Number.NaN) - dense).toBeCloseTo(rise, 9)
    }
  })

  it('starts rounds from, and finds, only what was measured on all windows', () => {
    const incumbents = simulation.steps.flatMap((step) =>
      step.kind === 'propose' ? step.payload.incumbents.flat() : [],
    )
    for (const kept of incumbents) expect(measuredInFull(kept)).toBeDefined()
    for (const { keptUnits, validationPerplexity, uniform } of simulation.plan.result?.targets ?? []) {
      expect(validationPerplexity).toBe(measuredInFull(keptUnits)?.perplexity)
      expect(validationPerplexity).toBeLessThanOrEqual(uniform.validationPerplexity ?? Number.NaN)
    }
  })
})
