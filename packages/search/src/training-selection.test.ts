import type { EvaluatePayload, StepRecord } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { TrainingSelection } from './training-selection.js'

function evaluateStep(index: number, purpose: EvaluatePayload['purpose']): StepRecord {
  return {
    ...{ kind: 'evaluate', round: 1, index, state: 'DONE', error: null },
    payload: {
      ...{ purpose, targetIndex: null, keptUnits: [index], sparsity: 0.1, split: 'validation', windows: 1 },
      predicted: null,
    },
    result: { logPerplexity: 1, perplexity: Math.E, nll: [1], tokens: 1, seconds: 1 },
  }
}

const select = (most: number, count: number) => {
  const selection = new TrainingSelection(most)
  selection.add(evaluateStep(0, 'dense'))
  for (let index = 1; index <= count; index++) selection.add(evaluateStep(index, 'proposal'))
  return selection.steps.map(({ index }) => index).sort((a, b) => a - b)
}

describe('TrainingSelection', () => {
  it('is everything up to the most', () => {
    expect(select(64, 64)).toEqual(Array.from({ length: 65 }, (_, index) => index))
  })

  it('never holds more, keeps what defines a predictor and the newest, and spreads the others over all before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 16, max: 100 }), fc.integer({ min: 101, max: 3000 }), (most, count) => {
        const chosen = select(most, count)
        expect(chosen.length).toBeLessThanOrEqual(most + 1)
        expect(chosen.length).toBeGreaterThan(most / 2)
        expect(chosen[0]).toBe(0)
        const newest = Math.floor(most / 4)
        expect(chosen.slice(-newest)).toEqual(Array.from({ length: newest }, (_, k) => count - newest + 1 + k))
        const gaps = chosen.slice(1).map((index, k) => index - (chosen[k] ?? 0))
        expect(Math.max(...gaps)).toBeLessThanOrEqual(Math.ceil((10 * count) / most))
      }),
    )
  })

  it('leaves out what was not measured', () => {
    const selection = new TrainingSelection()
    selection.add({ ...evaluateStep(1, 'random'), state: 'FAILED', result: null } as StepRecord)
    selection.add({ kind: 'score', round: 1, index: 0, state: 'DONE', payload: {}, result: null, error: null })
    expect(selection.steps).toEqual([])
  })
})
