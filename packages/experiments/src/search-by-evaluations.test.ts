import { createPrunableModel, sparsityOf } from '@espalier/pruning'
import { expect, it } from '@jest/globals'
import type { LabCalibration, Laboratory } from './laboratory.js'
import { endToEnd, policiesForRatio } from './parts/evaluation-time.js'
import { bestWithin, searchByEvaluations } from './search-by-evaluations.js'

const shape: Laboratory['shape'] = {
  ...{ architecture: 'llama', layers: 3, hiddenSize: 32, queryHeads: 4, kvHeads: 4, headDim: 8, ffnChannels: 64 },
  ...{ vocabularySize: 64, maxPositions: 64, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 100_000, weightBytes: 400_000 },
}
const calibration: LabCalibration = { windows: 1, seconds: 0, rankings: () => [] }

/** A model whose log-perplexity is known; a measurement takes a second of its clock. */
function createLaboratory(): Laboratory {
  let seconds = 0
  const absent = () => Promise.reject(new Error('not here'))
  const model = createPrunableModel(shape)
  return {
    ...{ name: 'known', shape, model, windowLength: 8, known: null },
    windows: { calibration: 1, validation: 1, test: 1 },
    now: () => seconds,
    calibrate: absent,
    writeAndRun: absent,
    close: () => Promise.resolve(),
    measure: ({ policies }) => {
      seconds += policies.length
      const damage = (kept: readonly number[]) =>
        kept.reduce((sum, units, index) => sum + (index + 1) * (1 - units / (model.modules[index]?.units ?? 1)) ** 2, 0)
      return Promise.resolve(policies.map((kept) => ({ nll: [0], logPerplexity: 3 + damage(kept), seconds: 1 })))
    },
  }
}

it('measures until evaluations and seconds are spent, all at the sparsity, and evolution beats chance', async () => {
  const search = (way: 'random' | 'evolution') => {
    const laboratory = createLaboratory()
    const method = { metric: 'wanda', compensation: 'mean' } as const
    const settings = { sparsity: 0.4, windows: 1, firstWindow: 0, seed: 3, evaluations: 200, seconds: 300 }
    return searchByEvaluations({ way, laboratory, calibration, method, ...settings })
  }
  const [random, evolution] = [await search('random'), await search('evolution')]
  for (const judged of [random, evolution]) {
    expect(judged).toHaveLength(300)
    for (const { kept } of judged) expect(sparsityOf(createPrunableModel(shape), kept)).toBeCloseTo(0.4, 1)
  }
  expect(await search('evolution')).toEqual(evolution)
  const best = bestWithin(evolution, { evaluations: 300 })?.logPerplexity ?? Number.NaN
  expect(best).toBeLessThan(bestWithin(random, { evaluations: 300 })?.logPerplexity ?? Number.NaN)
  expect(bestWithin(evolution, { seconds: 30 })).toEqual(bestWithin(evolution, { evaluations: 30 }))
})

it('counts learning and training into the time of predictions', () => {
  const times = { alone: 1.2, together: 1, learning: 40, training: 10, prediction: 1e-3 }
  expect(endToEnd(times, 1000)).toEqual({ measured: 1000, predicted: 51 })
  const pays = policiesForRatio(times, 1) ?? Number.NaN
  expect(endToEnd(times, pays).measured).toBeCloseTo(endToEnd(times, pays).predicted, 9)
  expect(policiesForRatio(times, 64)).toBeCloseTo((64 * 50) / (1 - 0.064), 6)
  expect(policiesForRatio(times, 2000)).toBeNull()
})
