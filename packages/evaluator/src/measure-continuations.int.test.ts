import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import type { Evaluator, ScoredSequence } from './evaluator.js'

const directory = fileURLToPath(new URL('../../model-graph/fixtures/models/gemma2', import.meta.url))
const maxPositions = 256
const ids = Int32Array.from({ length: 960 }, (_, index) => (index * 7919 + 13) % 512)
const dense = { keptIndices: null, calibration: null }

let evaluator: Evaluator
beforeAll(async () => {
  evaluator = await createEvaluator({ modelDirectory: directory, batchWindows: 4 })
})
afterAll(() => evaluator.close())

/** Pieces of different lengths; the first two have a common start, the third is the start of the second. */
const sequences: ScoredSequence[] = [
  { ids: Int32Array.from([...ids.slice(0, 30), 7]), scoredTokens: 1 },
  { ids: ids.slice(0, 40), scoredTokens: 39 },
  { ids: ids.slice(0, 20), scoredTokens: 4 },
  { ids: ids.slice(100, 103), scoredTokens: 2 },
  { ids: ids.slice(200, 200 + maxPositions + 1), scoredTokens: 9 },
  { ids: ids.slice(0, 40), scoredTokens: 3 },
]

describe('measureContinuations', () => {
  it('gives each sequence what it gets alone, in whatever company', async () => {
    const together = await evaluator.measureContinuations({ ...dense, sequences })
    for (const [index, sequence] of sequences.entries()) {
      const alone = await evaluator.measureContinuations({ ...dense, sequences: [sequence] })
      expect((together.logLikelihoods[index] ?? 0) / (alone.logLikelihoods[0] ?? 0)).toBeCloseTo(1, 5)
    }
    expect(together.tokens).toBe(31 + 40 + 3 + 257)
  })

  it('agrees with the windows of measure, dense and under a policy with compensation', async () => {
    const tokens = { ids, windowLength: 40, windows: 3 }
    const calibration = await evaluator.calibrate({ ...tokens, gram: true })
    const keptIndices = calibration.modules.map(({ sum }, module) =>
      module % 2 === 0 ? [module % 4 === 0 ? 0 : 1] : Array.from({ length: sum.length / 2 }, (_, unit) => 2 * unit),
    )
    const windows = [0, 1, 2].map((window) => ids.slice(40 * window, 40 * (window + 1)))
    for (const policy of [
      dense,
      { keptIndices, calibration, compensation: 'mean' as const },
      { keptIndices, calibration, compensation: 'least-squares' as const },
    ]) {
      const { nll } = await evaluator.measure({ ...policy, ...tokens })
      const { logLikelihoods } = await evaluator.measureContinuations({
        ...policy,
        sequences: windows.map((window) => ({ ids: window, scoredTokens: 39 })),
      })
      logLikelihoods.forEach((value, window) => {
        expect(-value / (nll[window] ?? 0)).toBeCloseTo(1, 5)
      })
    }
  })

  it('reports tokens and stops when it is told to', async () => {
    const seen: number[] = []
    const controller = new AbortController()
    const many = Array.from({ length: 12 }, (_, index) => ({ ids: ids.slice(index, index + 30), scoredTokens: 5 }))
    const onProgress = (done: number, tokens: number) => seen.push(done / tokens)
    await evaluator.measureContinuations({ ...dense, sequences: many, onProgress })
    expect(seen).toEqual([1 / 3, 2 / 3, 1])
    const stopped = evaluator.measureContinuations({
      ...{ ...dense, sequences: many, signal: controller.signal },
      onProgress: () => controller.abort(new Error('enough')),
    })
    await expect(stopped).rejects.toThrow('enough')
  })

  it.each([
    ['no sequences', [], 'REQUEST_INVALID'],
    ['nothing scored', [{ ids, scoredTokens: 0 }], 'REQUEST_INVALID'],
    ['nothing before what is scored', [{ ids: ids.slice(0, 3), scoredTokens: 3 }], 'REQUEST_INVALID'],
    ['too long', [{ ids: ids.slice(0, maxPositions + 2), scoredTokens: 1 }], 'MODEL_WINDOW_TOO_LONG'],
    ['a token of another model', [{ ids: Int32Array.of(1, 512), scoredTokens: 1 }], 'TOKEN_OUT_OF_RANGE'],
  ])('refuses %s', async (_, wrong, code) => {
    await expect(evaluator.measureContinuations({ ...dense, sequences: wrong })).rejects.toMatchObject({ code })
  })
})
