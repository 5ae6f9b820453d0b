import type { EvaluatePayload, StepRecord } from '@espalier/contracts'
import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { trainingEvaluations } from './training-evaluations.js'

const tokensPerWindow = 100
const windows = 16
const method = { metric: 'wanda', compensation: 'mean' } as const
const settings = { validationWindows: windows, ...method }

function evaluateStep(index: number, nll: readonly number[], change: Partial<EvaluatePayload> = {}): StepRecord {
  const tokens = nll.length * tokensPerWindow
  const logPerplexity = nll.reduce((sum, value) => sum + value, 0) / tokens
  return {
    ...{ kind: 'evaluate', round: 0, index, state: 'DONE', error: null },
    payload: {
      ...{ purpose: 'probe', targetIndex: null, keptUnits: [index], sparsity: 0.1, split: 'validation' },
      ...{ windows: nll.length, predicted: null },
      ...change,
    },
    result: { logPerplexity, perplexity: Math.exp(logPerplexity), nll: [...nll], tokens, seconds: 1 },
  }
}

/** Windows of very different difficulty. */
const denseNll = Array.from({ length: windows }, (_, window) => tokensPerWindow * (2 + 0.2 * window))
const dense = evaluateStep(0, denseNll, { purpose: 'dense' })
const nllWithRises = (rises: readonly number[]) =>
  rises.map((rise, window) => (denseNll[window] ?? 0) + tokensPerWindow * rise)

describe('what a predictor learns from', () => {
  it('takes rises against the dense model on the same windows', () => {
    const cheap = evaluateStep(1, nllWithRises([0.05, 0.05, 0.05, 0.05]))
    const [, learnt] = trainingEvaluations([dense, cheap], settings, method)
    expect(learnt?.logPerplexity).toBeCloseTo((dense.kind === 'evaluate' && dense.result?.logPerplexity) || 0, 1)
    expect((learnt?.logPerplexity ?? 0) - (3.5 + 0.05)).toBeCloseTo(0, 9)
    expect(learnt?.deviation).toBeCloseTo(0, 9)
  })

  it('says how far a cheap measurement may be from the full one', () => {
    const random = createRandomGenerator(7)
    const [spread, rise, k] = [0.6, 0.2, 4]
    const policies = Array.from({ length: 400 }, () =>
      Array.from({ length: windows }, () => rise * (1 + spread * random.normal())),
    )
    const steps = policies.map((rises, index) => evaluateStep(1 + index, nllWithRises(rises.slice(0, k))))
    const learnt = trainingEvaluations([dense, ...steps], settings, method).slice(1)
    const full = policies.map((rises) => 3.5 + rises.reduce((sum, value) => sum + value, 0) / windows)
    const errors = learnt.map(({ logPerplexity }, i) => (logPerplexity - (full[i] ?? 0)) ** 2)
    const rootMeanSquare = Math.sqrt(errors.reduce((sum, value) => sum + value, 0) / errors.length)
    const told = learnt.reduce((sum, { deviation }) => sum + (deviation ?? 0), 0) / learnt.length
    expect(told / rootMeanSquare).toBeGreaterThan(0.85)
    expect(told / rootMeanSquare).toBeLessThan(1.15)
  })

  it('leaves out what was measured under another method', () => {
    const other = evaluateStep(1, denseNll, { purpose: 'trial', method: { ...method, metric: 'fluctuation' } })
    const same = evaluateStep(2, denseNll, { purpose: 'trial', method })
    const learnt = trainingEvaluations([dense, other, same], settings, method)
    expect(learnt.map(({ kept }) => kept)).toEqual([[0], [2]])
  })

  it('leaves out final and test measurements, and cheap ones without a dense model to compare with', () => {
    const cheap = evaluateStep(1, nllWithRises([0.05, 0.05, 0.05, 0.05]))
    const final = evaluateStep(2, [...denseNll, ...denseNll], { purpose: 'final' })
    const test = evaluateStep(3, denseNll, { purpose: 'test', split: 'test' })
    expect(trainingEvaluations([dense, final, test], settings, method).map(({ purpose }) => purpose)).toEqual(['dense'])
    expect(trainingEvaluations([cheap], settings, method)).toEqual([])
  })

  it('tells earlier predictions with the width that their round had', () => {
    const predicted = { logPerplexity: 3.6, low: 3.5, high: 3.7 }
    const proposal = { ...evaluateStep(1, denseNll, { purpose: 'proposal', predicted }), round: 2 }
    const train: StepRecord = {
      ...{ kind: 'train', round: 2, index: 0, state: 'DONE', payload: {}, error: null },
      result: { evaluations: 1, residualSamples: 0, noise: 0.1, intervalScale: 1.3, seconds: 1 },
    }
    const learnt = trainingEvaluations([proposal as StepRecord, train, dense], settings, method)
    expect(learnt.map((evaluation) => evaluation.predicted)).toEqual([undefined, { ...predicted, intervalScale: 1.3 }])
  })
})
