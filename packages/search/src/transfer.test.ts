import type { EarlierEvaluation, EvaluatePayload, ModelShape, SearchSettings, StepRecord } from '@espalier/contracts'
import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { earlierEvaluationsOf, type Simulation, simulateSearch } from './simulate-search.test-support.js'

const shapeOf = (layers: number): ModelShape => ({
  ...{ architecture: 'llama', layers, hiddenSize: 64, queryHeads: 6, kvHeads: 3, headDim: 16, ffnChannels: 512 },
  ...{ vocabularySize: 512, maxPositions: 512, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 1_000_000, weightBytes: 2_000_000 },
})

const settingsOf = (change: Partial<SearchSettings>): SearchSettings => ({
  ...{ targets: [0.2, 0.35, 0.5], budget: 99, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ fidelity: 'auto', windowLength: 256, calibrationWindows: 8, validationWindows: 16, finalWindows: null },
  ...{ finalists: 3, minimumImprovement: 0, exports: [] },
  texts: { calibration: 'c', validation: 'v', test: 't' },
  ...change,
})

const search = (layers: number, change: Partial<SearchSettings>, earlier?: readonly EarlierEvaluation[], order = 1) =>
  simulateSearch({
    ...{ shape: shapeOf(layers), settings: settingsOf(change), order: createRandomGenerator(order) },
    ...(earlier ? { earlier } : {}),
  })

const evaluated = (steps: readonly StepRecord[]): EvaluatePayload[] =>
  steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .map(({ payload }) => payload)
const countOf = ({ steps }: Simulation, ...purposes: string[]) =>
  evaluated(steps).filter(({ purpose }) => purposes.includes(purpose)).length
const keyOf = ({ keptUnits, windows, method }: EvaluatePayload) => `${keptUnits}/${windows}/${JSON.stringify(method)}`

const anySearch = fc.record({
  targets: fc.uniqueArray(fc.constantFrom(0.2, 0.35, 0.5), { minLength: 1, maxLength: 3 }),
  budget: fc.integer({ min: 6, max: 90 }),
  seed: fc.integer({ min: 0, max: 1000 }),
  finalWindows: fc.constantFrom(null, 16),
  metric: fc.constantFrom('wanda' as const, 'auto' as const),
})

describe('a search that starts from earlier evaluations', () => {
  it('measures none of them again, ends within its budget, and finds nothing worse than they hold', () => {
    fc.assert(
      fc.property(anySearch, anySearch, fc.integer({ min: 1, max: 9 }), (first, second, layers) => {
        const earlier = earlierEvaluationsOf(search(layers, first))
        const later = search(layers, second, earlier)
        expect(later.plan.state).toBe('SUCCEEDED')
        expect(later.plan.result?.evaluations.total).toBeLessThanOrEqual(second.budget + 1e-9)
        const known = new Set(earlier.map(({ payload }) => keyOf(payload)))
        const repeated = evaluated(later.steps)
          .filter(({ split, purpose }) => split === 'validation' && purpose !== 'trial' && purpose !== 'final')
          .filter((payload) => known.has(keyOf(payload)))
        expect(repeated).toEqual([])
        const [before, after] = [search(layers, first).plan.result, later.plan.result]
        for (const target of before?.targets ?? []) {
          const same = after?.targets.find(({ sparsityTarget }) => sparsityTarget === target.sparsityTarget)
          if (!same || before?.method?.metric !== after?.method?.metric) continue
          const best = Math.min(target.validationPerplexity, target.finalPerplexity ?? Number.POSITIVE_INFINITY)
          expect(same.finalPerplexity ?? same.validationPerplexity).toBeLessThanOrEqual(best * 1.02)
        }
      }),
      { numRuns: 20 },
    )
  })

  it('is the same whatever order its steps end in, and planned again', () => {
    const earlier = earlierEvaluationsOf(search(8, { budget: 40 }))
    const one = search(8, { budget: 33, seed: 2 }, earlier, 1)
    const other = search(8, { budget: 33, seed: 2 }, earlier, 99)
    expect(evaluated(other.steps)).toEqual(evaluated(one.steps))
    expect(other.plan.result).toEqual(one.plan.result)
  })

  it('spends its own on candidates where earlier ones know dense, uniform, probes and random policies', () => {
    const first = search(8, {})
    const earlier = earlierEvaluationsOf(first)
    const later = search(8, { budget: 33, seed: 2 }, earlier)
    expect(countOf(first, 'probe')).toBe(16)
    expect(countOf(later, 'dense', 'uniform', 'probe', 'random')).toBe(0)
    expect(countOf(later, 'proposal')).toBe(33 - countOf(later, 'final'))
    expect(later.plan.progress.earlierEvaluations).toBe(earlier.length)
    expect(later.plan.result?.evaluations).toMatchObject({ total: 33, earlier: earlier.length })
    const incumbents = later.steps.find((step) => step.kind === 'propose' && step.round === 1)
    const ofTarget = (index: number) => earlier.filter(({ payload }) => payload.targetIndex === index).length
    expect(incumbents?.kind === 'propose' && incumbents.payload.incumbents.map((list) => list.length)).toEqual([
      ...[ofTarget(0), ofTarget(1), ofTarget(2)],
    ])
  })

  it('still measures random policies at targets that are new, and probes modules that were not probed alone', () => {
    const earlier = earlierEvaluationsOf(search(8, { targets: [0.2] }))
    const elsewhere = search(8, { targets: [0.5], seed: 2 }, earlier)
    const cold = search(8, { targets: [0.5], seed: 2 })
    expect(countOf(elsewhere, 'probe')).toBe(0)
    expect(countOf(elsewhere, 'random')).toBeGreaterThanOrEqual(countOf(cold, 'random'))
    expect(elsewhere.plan.result?.targets[0]?.sparsity).toBeCloseTo(0.5, 2)

    const withoutLast = earlier.filter(({ payload }) => payload.purpose !== 'probe' || payload.keptUnits.at(-1) === 512)
    expect(countOf(search(8, { seed: 2 }, withoutLast), 'probe')).toBe(1)
  })

  it('learns nothing from another method', () => {
    const earlier = earlierEvaluationsOf(search(8, { metric: 'fluctuation' }))
    const { plan, steps } = search(8, { seed: 2 }, earlier)
    const cold = search(8, { seed: 2 })
    expect(evaluated(steps)).toEqual(evaluated(cold.steps))
    expect(plan).toEqual(cold.plan)
  })
})
