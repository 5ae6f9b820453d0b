import type { EvaluatePayload, SearchSettings, StepRecord } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { StepLedger } from './step-ledger.js'

const settings: SearchSettings = {
  ...{ targets: [0.2, 0.5], budget: 1000, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ windowLength: 64, calibrationWindows: 8, validationWindows: 16, finalWindows: null, finalists: 3 },
  ...{ minimumImprovement: 0, texts: { calibration: 'c', validation: 'v', test: 't' }, exports: [] },
}
const method = { metric: 'wanda', compensation: 'mean' } as const

type Measured = Pick<EvaluatePayload, 'purpose' | 'targetIndex' | 'windows' | 'predicted'> & { readonly value: number }

const evaluated = ({ value, ...payload }: Measured, index: number): StepRecord<'evaluate'> => ({
  ...{ kind: 'evaluate', round: Math.floor(index / 10), index: index % 10, state: 'DONE', error: null },
  payload: { ...payload, keptUnits: [index, 7], sparsity: 0.3, split: 'validation', method },
  result: { logPerplexity: value, perplexity: Math.exp(value), nll: [], tokens: 1, seconds: 2 },
})
const anyMeasured: fc.Arbitrary<Measured> = fc.record({
  purpose: fc.constantFrom('random' as const, 'proposal' as const, 'probe' as const, 'uniform' as const),
  targetIndex: fc.constantFrom(null, 0, 1),
  windows: fc.constantFrom(4, 16),
  value: fc.integer({ min: 1, max: 50 }).map((tenths) => tenths / 10),
  predicted: fc.constantFrom(null, { logPerplexity: 2, low: 1.5, high: 3 }),
})

describe('StepLedger', () => {
  it('knows the best of each target, whatever comes in whatever order, those planned first before their equals', () => {
    fc.assert(
      fc.property(fc.array(anyMeasured, { maxLength: 120 }), fc.func(fc.integer()), (measured, shuffle) => {
        const steps = measured.map(evaluated)
        const ledger = new StepLedger(settings, 0)
        for (const step of steps.toSorted((a, b) => shuffle(a.payload) - shuffle(b.payload))) ledger.add(step)
        for (const targetIndex of [0, 1]) {
          const ranked = steps
            .filter(({ payload }) => payload.targetIndex === targetIndex && payload.windows === 16)
            .sort((a, b) => (a.result?.logPerplexity ?? 0) - (b.result?.logPerplexity ?? 0))
          const best = ledger.bestOf(method, targetIndex)
          expect(best.length).toBeGreaterThanOrEqual(Math.min(ranked.length, 10))
          expect(best.map(({ payload }) => payload)).toEqual(ranked.slice(0, best.length).map(({ payload }) => payload))
        }
      }),
    )
  })

  it('remembers every policy that was measured, and finds the numbers of those that are compared', () => {
    fc.assert(
      fc.property(fc.array(anyMeasured, { maxLength: 120 }), (measured) => {
        const ledger = new StepLedger(settings, 0)
        const steps = measured.map(evaluated)
        for (const step of steps) ledger.add(step)
        for (const { payload, result } of steps) {
          const { keptUnits, windows, purpose } = payload
          expect(ledger.isMeasured(method, keptUnits, 'validation', windows)).toBe(true)
          expect(ledger.isMeasured(method, keptUnits, 'test', windows)).toBe(false)
          expect(ledger.isMeasured({ ...method, metric: 'magnitude' }, keptUnits, 'validation', windows)).toBe(false)
          expect(ledger.isMeasured(method, [...keptUnits, 1], 'validation', windows)).toBe(false)
          if (purpose !== 'uniform') continue
          expect(ledger.findMeasurement(method, keptUnits, 'validation', windows)?.result).toEqual(result)
        }
      }),
    )
  })

  it('counts what was measured and how far predictions of a round were off', () => {
    fc.assert(
      fc.property(fc.array(anyMeasured, { maxLength: 60 }), (measured) => {
        const ledger = new StepLedger(settings, 0)
        measured.forEach((one, index) => {
          ledger.add(evaluated(one, index))
        })
        const on = (windows: number) => measured.filter((one) => one.windows === windows).length
        expect(ledger.evaluations.full).toBeCloseTo(on(16) + on(4) / 4, 9)
        expect(ledger.evaluations.windows).toBe(16 * on(16) + 4 * on(4))
        expect(ledger.evaluations.seconds).toBe(2 * measured.length)
        const predicted = measured.filter((one) => one.predicted !== null)
        const total = (of: (one: Measured) => number) => predicted.reduce((sum, one) => sum + of(one), 0)
        const summed = [...ledger.rounds.values()]
        expect(summed.reduce((sum, { evaluations }) => sum + evaluations, 0)).toBe(predicted.length)
        expect(summed.reduce((sum, { error }) => sum + error, 0)).toBeCloseTo(
          total(({ value }) => Math.abs(value - 2)),
          9,
        )
        expect(summed.reduce((sum, { inside }) => sum + inside, 0)).toBe(
          total(({ value }) => (value >= 1.5 && value <= 3 ? 1 : 0)),
        )
      }),
    )
  })

  it('holds no more of ten thousand proposals than of a hundred but their hashes', () => {
    const ledger = new StepLedger(settings, 0)
    const proposal = { purpose: 'proposal', targetIndex: 0, windows: 16, predicted: null } as const
    for (let index = 0; index < 10_000; index++)
      ledger.add(evaluated({ ...proposal, value: 1 + 1 / (1 + index) }, index))
    expect(ledger.bestOf(method, 0).map(({ payload }) => payload.keptUnits[0])[0]).toBe(9999)
    expect(ledger.bestOf(method, 0).length).toBeLessThan(100)
    expect(ledger.findMeasurement(method, [5, 7], 'validation', 16)).toBeUndefined()
  })
})
