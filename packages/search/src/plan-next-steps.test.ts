import type { ModelShape, SearchSettings, StepRecord } from '@espalier/contracts'
import { createPrunableModel, createRandomGenerator, sparsityOf } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { minimumBudget } from './plan-budget.js'
import { planNextSteps } from './plan-next-steps.js'
import { simulateSearch } from './simulate-search.test-support.js'

const shapeOf = (layers: number, kvHeads: number, ffnChannels: number): ModelShape => ({
  architecture: 'llama',
  layers,
  hiddenSize: 64,
  queryHeads: kvHeads * 2,
  kvHeads,
  headDim: 16,
  ffnChannels,
  vocabularySize: 512,
  maxPositions: 512,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 1_000_000,
  weightBytes: 2_000_000,
})

const settingsOf = (change: Partial<SearchSettings>): SearchSettings => ({
  targets: [0.2, 0.35, 0.5],
  budget: 99,
  seed: 1,
  agent: 'network',
  metric: 'wanda',
  compensation: 'mean',
  windowLength: 64,
  calibrationWindows: 8,
  validationWindows: 16,
  finalWindows: null,
  finalists: 3,
  minimumImprovement: 0,
  texts: { calibration: 'c', validation: 'v', test: 't' },
  exports: ['onnx'],
  ...change,
})

const anySearch = fc.record({
  shape: fc
    .record({
      layers: fc.integer({ min: 1, max: 12 }),
      kv: fc.integer({ min: 1, max: 4 }),
      ffn: fc.integer({ min: 16, max: 200 }),
    })
    .map(({ layers, kv, ffn }) => shapeOf(layers, kv, ffn)),
  settings: fc.record({
    targets: fc.uniqueArray(fc.constantFrom(0.1, 0.2, 0.35, 0.5, 0.6), { minLength: 1, maxLength: 3 }),
    budget: fc.integer({ min: 4, max: 120 }),
    seed: fc.integer({ min: 0, max: 1000 }),
    agent: fc.constantFrom('network' as const, 'random' as const, 'uniform' as const),
    finalWindows: fc.constantFrom(null, 8, 16, 40),
    fidelity: fc.constantFrom('auto' as const, 'full' as const),
    windowLength: fc.constantFrom(64, 256),
    validationWindows: fc.constantFrom(8, 16),
    metric: fc.constantFrom('wanda' as const, 'fluctuation' as const, 'auto' as const),
    compensation: fc.constantFrom('none' as const, 'mean' as const, 'least-squares' as const, 'auto' as const),
    minimumImprovement: fc.constantFrom(0, 0.001, 1),
  }),
  orderSeed: fc.integer({ min: 0, max: 1000 }),
})

const evaluated = (steps: readonly StepRecord[]) =>
  steps
    .flatMap((step) => (step.kind === 'evaluate' ? [{ round: step.round, index: step.index, ...step.payload }] : []))
    .sort((a, b) => a.round - b.round || a.index - b.index)

const evaluatedIn = (steps: readonly StepRecord[], round: number) =>
  evaluated(steps).filter((evaluation) => evaluation.round === round && evaluation.purpose === 'proposal')

/** What the agent was asked for, round by round. */
const proposalsIn = (steps: readonly StepRecord[]) =>
  steps
    .flatMap((step) => (step.kind === 'propose' && step.payload.count > 0 ? [step] : []))
    .sort((a, b) => a.round - b.round)
    .map(({ payload }) => payload)

function runProposals(change: Partial<SearchSettings>) {
  const settings = settingsOf(change)
  const { steps } = simulateSearch({ shape: shapeOf(8, 3, 512), settings, order: createRandomGenerator(1) })
  return { steps, proposals: proposalsIn(steps) }
}

describe('a search', () => {
  it('ends within its budget, measures nothing twice and reports a policy at every target', () => {
    fc.assert(
      fc.property(anySearch, ({ shape, settings, orderSeed }) => {
        const full = settingsOf(settings)
        const { steps, plan } = simulateSearch({ shape, settings: full, order: createRandomGenerator(orderSeed) })
        expect(plan.state).toBe('SUCCEEDED')
        const onValidation = evaluated(steps).filter(({ split }) => split === 'validation')
        const cost = onValidation.reduce((sum, { windows }) => sum + Math.min(1, windows / full.validationWindows), 0)
        expect(cost).toBeLessThanOrEqual(full.budget + 1e-9)
        expect(plan.result?.evaluations.total).toBeCloseTo(cost, 6)
        expect(onValidation.every((e) => e.purpose === 'probe' || e.windows >= full.validationWindows)).toBe(true)
        const counted = plan.result?.evaluations.byWindows?.reduce((sum, { evaluations }) => sum + evaluations, 0)
        expect(counted).toBe(onValidation.length)
        const keys = evaluated(steps).map((e) => `${JSON.stringify(e.method)}/${e.split}/${e.windows}/${e.keptUnits}`)
        expect(new Set(keys).size).toBe(keys.length)
        const model = createPrunableModel(shape)
        for (const [index, target] of full.targets.entries()) {
          const found = plan.result?.targets[index]
          expect(found?.sparsityTarget).toBe(target)
          expect(found?.sparsity).toBeLessThanOrEqual(Number(target) + 1e-12)
          expect(found?.sparsity).toBe(sparsityOf(model, found?.keptUnits ?? []))
          expect(found?.testPerplexity).not.toBeNull()
          expect(found?.validationPerplexity).toBeLessThanOrEqual((found?.uniform.validationPerplexity ?? 0) * 1.05)
        }
      }),
      { numRuns: 30 },
    )
  })

  it('is the same whatever order its steps end in', () => {
    fc.assert(
      fc.property(anySearch, fc.integer(), ({ shape, settings, orderSeed }, otherSeed) => {
        const full = settingsOf(settings)
        const one = simulateSearch({ shape, settings: full, order: createRandomGenerator(orderSeed) })
        const other = simulateSearch({ shape, settings: full, order: createRandomGenerator(Math.abs(otherSeed)) })
        expect(evaluated(other.steps)).toEqual(evaluated(one.steps))
        expect(other.plan.result).toEqual(one.plan.result)
      }),
      { numRuns: 30 },
    )
  })

  it('left to choose a metric takes the one whose uniform policy is best, and measures all else under it', () => {
    const settings = settingsOf({ metric: 'auto', compensation: 'auto' })
    const penalties = { magnitude: 0.3, wanda: 0.1, fluctuation: 0.05, obs: 0 }
    const { steps, plan } = simulateSearch({
      shape: shapeOf(8, 3, 512),
      settings,
      order: createRandomGenerator(1),
      penaltyOf: ({ metric }) => penalties[metric],
    })
    const method = plan.result?.method
    expect(method).toMatchObject({ metric: 'fluctuation', compensation: 'mean' })
    expect(method?.reasons[0]).toMatch(/^metric: fluctuation, because the uniform policy at 35 % has perplexity/)
    expect(method?.reasons[1]).toMatch(
      /^compensation: mean, because 512 calibration tokens are 1\.0 for each of the 512/,
    )
    const trials = evaluated(steps).filter(({ purpose }) => purpose === 'trial')
    expect(trials.map((trial) => trial.method?.metric)).toEqual(['magnitude', 'wanda', 'fluctuation'])
    const others = evaluated(steps).filter(({ purpose }) => purpose !== 'trial')
    expect(new Set(others.map((evaluation) => evaluation.method?.metric))).toEqual(new Set(['fluctuation']))
    expect(plan.result?.evaluations.total).toBeGreaterThan(settings.budget - 3)
    expect(plan.result?.evaluations.total).toBeLessThanOrEqual(settings.budget)
  })

  it('takes least squares when there are enough calibration tokens, and shows what it is worth', () => {
    const settings = settingsOf({ compensation: 'auto', calibrationWindows: 16, budget: 30, finalWindows: 16 })
    const { plan, steps } = simulateSearch({
      shape: shapeOf(8, 3, 512),
      settings,
      order: createRandomGenerator(1),
      penaltyOf: ({ compensation }) => (compensation === 'least-squares' ? 0 : compensation === 'mean' ? 0.1 : 0.2),
    })
    expect(steps.find(({ kind }) => kind === 'prepare')?.payload).toEqual({ gram: true })
    expect(plan.result?.method?.compensation).toBe('least-squares')
    for (const { compensations } of plan.result?.targets ?? []) {
      expect(compensations?.map(({ compensation }) => compensation)).toEqual(['none', 'mean', 'least-squares'])
      const [none = 0, mean = 0, leastSquares = 0] = (compensations ?? []).map((each) => Math.log(each.testPerplexity))
      expect(none - leastSquares).toBeCloseTo(0.2, 6)
      expect(mean - leastSquares).toBeCloseTo(0.1, 6)
    }
  })

  it('tries obs too where weights are fitted and eliminating units is quick', () => {
    const run = (change: Partial<SearchSettings>, ffnChannels = 512) =>
      simulateSearch({
        shape: shapeOf(8, 3, ffnChannels),
        settings: settingsOf({ metric: 'auto', compensation: 'least-squares', ...change }),
        order: createRandomGenerator(1),
        penaltyOf: ({ metric }) => (metric === 'obs' ? 0 : 0.1),
      })
    const { steps, plan } = run({})
    expect(steps.find(({ kind }) => kind === 'prepare')?.payload).toEqual({ gram: true, elimination: true })
    expect(plan.result?.method?.trials.map(({ metric }) => metric)).toEqual(['wanda', 'fluctuation', 'obs'])
    expect(plan.result?.method?.metric).toBe('obs')
    const wide = run({}, 2049).plan.result?.method?.trials.map(({ metric }) => metric)
    expect(wide).toEqual(['magnitude', 'wanda', 'fluctuation'])
    const asked = run({ metric: 'obs', compensation: 'mean' })
    expect(asked.steps.find(({ kind }) => kind === 'prepare')?.payload).toEqual({ gram: true, elimination: true })
  })

  it('leaves the usual metric where the budget is too small to try all', () => {
    const settings = settingsOf({ metric: 'auto', budget: 12 })
    const { plan, steps } = simulateSearch({ shape: shapeOf(8, 3, 512), settings, order: createRandomGenerator(1) })
    expect(plan.result?.method).toMatchObject({ metric: 'wanda', trials: [] })
    expect(evaluated(steps).some(({ purpose }) => purpose === 'trial')).toBe(false)
  })

  it('spends its whole budget on the demonstration shape', () => {
    const settings = settingsOf({})
    const { plan } = simulateSearch({ shape: shapeOf(8, 3, 512), settings, order: createRandomGenerator(1) })
    expect(plan.result?.evaluations.total).toBe(99)
    expect(plan.progress.fraction).toBe(1)
    expect(plan.result?.rounds.length).toBe(plan.progress.rounds)
  })

  it.each([
    ['ran through', 0, 1],
    ['converged', 1, 0],
  ])('that %s has its generator from all that its rounds measured', (_, minimumImprovement, trainings) => {
    const settings = settingsOf({ minimumImprovement })
    const { steps, plan } = simulateSearch({ shape: shapeOf(8, 3, 512), settings, order: createRandomGenerator(1) })
    expect(plan.state).toBe('SUCCEEDED')
    const last = (kind: string, purpose?: string) =>
      Math.max(
        ...steps
          .filter((step) => step.kind === kind)
          .filter((step) => purpose === undefined || (step.kind === 'evaluate' && step.payload.purpose === purpose))
          .map(({ round }) => round),
      )
    expect(last('train')).toBe(last('propose'))
    expect(last('train')).toBeGreaterThan(last('evaluate', 'proposal'))
    const withoutPolicies = steps.filter((step) => step.kind === 'propose' && step.payload.count === 0)
    expect(withoutPolicies).toHaveLength(trainings)
  })

  it('explores every second round but the last, unless the rounds are few', () => {
    const explored = (budget: number) => runProposals({ budget }).proposals.map(({ explores }) => explores ?? false)
    expect(explored(99)).toEqual([false, true, false, true, false, true, false])
    expect(explored(33)).not.toContain(true)
  })

  it('evaluates what draws found beside the best by the mean, but in the last round', () => {
    const { steps, proposals } = runProposals({ budget: 99 })
    const wanted = proposals.map(({ count, draws }) => [count, draws])
    expect(wanted).toEqual([...new Array(6).fill([4, 2]), [32, undefined]])
    const drawnOf = (round: number) =>
      steps.flatMap((step) =>
        step.kind === 'propose' && step.round === round
          ? (step.result?.targets ?? []).flatMap(({ policies }) => policies.filter(({ drawn }) => drawn))
          : [],
      )
    for (const round of [1, 2, 3, 4, 5, 6]) {
      // Some draw what was measured in a round before.
      const measured = evaluated(steps).filter((evaluation) => evaluation.round <= round)
      const known = new Set(measured.map(({ keptUnits }) => keptUnits.join()))
      expect(evaluatedIn(steps, round)).toHaveLength(9)
      expect(drawnOf(round)).toHaveLength(6)
      for (const { keptUnits } of drawnOf(round)) expect(known).toContain(keptUnits.join())
    }
    expect(evaluatedIn(steps, 7)).toHaveLength(6)
  })

  it('has rounds and policies a round grow alike', () => {
    const counts = (budget: number) => {
      const { steps, proposals } = runProposals({ budget, validationWindows: 8, fidelity: 'full' })
      return [proposals.length, Math.max(...proposals.map((_, index) => evaluatedIn(steps, index + 1).length / 3))]
    }
    expect(counts(99)).toEqual([7, 3])
    expect(counts(300)).toEqual([15, 6])
  })

  it('asks a random agent for no draws', () => {
    for (const { count, draws } of runProposals({ budget: 33, agent: 'random' }).proposals) {
      expect(count).toBeGreaterThanOrEqual(48)
      expect(draws).toBeUndefined()
    }
  })

  it('puts probes on a quarter of the windows where they are dear, and counts them as a quarter', () => {
    const run = (change: Partial<SearchSettings>) =>
      simulateSearch({ shape: shapeOf(8, 3, 512), settings: settingsOf(change), order: createRandomGenerator(1) })
    const probesOf = ({ steps }: ReturnType<typeof run>) =>
      evaluated(steps).filter(({ purpose }) => purpose === 'probe')
    const long = { windowLength: 256 }
    const small = run({ ...long, budget: 33, fidelity: 'auto' })
    expect(probesOf(small).map(({ windows }) => windows)).toEqual(new Array(16).fill(4))
    expect(small.plan.result?.evaluations).toMatchObject({
      total: 33,
      byWindows: [
        { windows: 4, evaluations: 16 },
        { windows: 16, evaluations: 29 },
      ],
    })
    const large = run({ ...long, budget: 1000, fidelity: 'auto' })
    expect(probesOf(large).map(({ windows }) => windows)).toEqual(new Array(16).fill(16))
    expect(probesOf(run({ ...long, budget: 33, fidelity: 'full' })).every(({ windows }) => windows === 16)).toBe(true)
  })

  it('takes the winner of the final measurement, not of the search', () => {
    const { steps, plan } = simulateSearch({
      shape: shapeOf(8, 3, 512),
      settings: settingsOf({}),
      order: createRandomGenerator(3),
    })
    const finals = evaluated(steps).filter(({ purpose }) => purpose === 'final')
    expect(finals).toHaveLength(9)
    for (const target of plan.result?.targets ?? []) {
      const measured = steps.flatMap((step) =>
        step.kind === 'evaluate' && step.payload.purpose === 'final' && step.result && step.payload.targetIndex !== null
          ? [{ target: step.payload.targetIndex, perplexity: step.result.perplexity }]
          : [],
      )
      const own = measured.filter((m) => settingsOf({}).targets[m.target] === target.sparsityTarget)
      expect(target.finalPerplexity).toBe(Math.min(...own.map((m) => m.perplexity)))
    }
  })
})

describe('drift', () => {
  const search = (scale: number) =>
    simulateSearch({
      shape: shapeOf(8, 3, 512),
      settings: settingsOf({}),
      order: createRandomGenerator(4),
      halfWidth: (kept) => scale * (1 + ((kept[1] ?? 0) % 10)),
    })
  it('is reported for rounds whose intervals miss, and no others', () => {
    expect(search(0.1).plan.result?.rounds.map(({ drift }) => drift)).not.toContain(true)
    const { plan } = search(1e-4)
    expect(plan.result?.rounds.map(({ drift }) => drift)).not.toContain(false)
    expect(plan.progress.predictorError?.drift).toBe(true)
  })

  it('lets the draws of the next round roam, unless it is the last', () => {
    const drifted = (scale: number) => proposalsIn(search(scale).steps).map((payload) => payload.drifted ?? false)
    expect(drifted(0.1)).not.toContain(true)
    expect(drifted(1e-4)).toEqual([false, true, true, true, true, true, false])
  })
})

describe('failures', () => {
  const shape = shapeOf(4, 2, 64)
  const run = (fails: (step: StepRecord) => boolean) =>
    simulateSearch({ shape, settings: settingsOf({ budget: 40 }), order: createRandomGenerator(5), fails })

  it('goes on when a single evaluation fails', () => {
    const { plan } = run((step) => step.kind === 'evaluate' && step.round === 0 && step.index === 7)
    expect(plan.state).toBe('SUCCEEDED')
    expect(plan.result?.evaluations.total).toBeLessThan(40)
  })

  it('fails with the first cause when evaluations fail as a rule, and keeps what was measured', () => {
    const { plan, steps } = run((step) => step.kind === 'evaluate' && step.index % 2 === 1)
    expect(plan.state).toBe('FAILED')
    expect(plan.error?.code).toBe('EVALUATION_FAILED')
    expect(plan.error?.message).toMatch(/evaluate step 1 of round 0/)
    expect(steps.some((step) => step.state === 'DONE' && step.kind === 'evaluate')).toBe(true)
  })

  it.each(['prepare', 'train', 'propose', 'score', 'export'] as const)('fails when %s fails', (kind) => {
    const { plan } = run((step) => step.kind === kind)
    expect(plan.state).toBe('FAILED')
    expect(plan.error?.details.step).toContain(kind)
  })
})

describe('a plan', () => {
  it('of an empty record is the preparation, in the queue', () => {
    const plan = planNextSteps({ settings: settingsOf({}), shape: shapeOf(2, 1, 8), steps: [] })
    expect(plan.state).toBe('QUEUED')
    expect(plan.steps.map((step) => step.kind)).toEqual(['prepare'])
  })

  it('needs at least the dense model and one policy a target', () => {
    expect(minimumBudget(3)).toBe(4)
  })
})
