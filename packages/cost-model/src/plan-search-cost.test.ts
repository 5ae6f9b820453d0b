import type { ModelShape } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { type Device, gpus } from './devices.js'
import { type PlannedSearch, planSearchCost } from './plan-search-cost.js'

/** Llama 3.1 70B, as published. */
const llama70b: ModelShape = {
  ...{ architecture: 'llama', layers: 80, hiddenSize: 8192, queryHeads: 64, kvHeads: 8, headDim: 128 },
  ...{ ffnChannels: 28_672, vocabularySize: 128_256, maxPositions: 131_072, slidingWindow: null },
  ...{ tiedEmbeddings: false, attentionBiasConfigurable: true, mlpBiasConfigurable: true },
  ...{ parameters: 70_553_706_496, weightBytes: 141_107_412_992 },
}
const model = { shape: llama70b, storedBytes: 2, weights: 'stored' } as const
const search: PlannedSearch = {
  ...{ targets: [0.2, 0.5], budget: 99, agent: 'network', finalists: 3, trials: 0, windowLength: 2048 },
  ...{ calibrationWindows: 16, validationWindows: 16, finalWindows: 64 },
}
const deviceOf = (name: string) => gpus.find((gpu) => gpu.name === name) as Device

describe('planSearchCost', () => {
  it('counts about two operations a parameter and token, and the peak limits the speed', () => {
    const { speeds } = planSearchCost(model, deviceOf('h100-80g'), search)
    const [dense, light, half] = speeds
    // Beyond 2 x parameters: attention, 4 x 8192 x 80 x 1024; less: the embedding, which is looked up.
    expect(dense?.flopsPerToken).toBeCloseTo(2 * (llama70b.parameters - 128_256 * 8192) + 4 * 8192 * 80 * 1024.5, -9)
    expect(dense?.tokensPerSecond).toBeCloseTo((989e12 * 0.5) / (dense?.flopsPerToken ?? 0), 6)
    const pruned = 80 * 2 * 8192 * ((2 * 64 + 2 * 8) * 128 + 3 * 28_672)
    expect(half?.flopsPerToken).toBeLessThan((dense?.flopsPerToken ?? 0) - 0.49 * pruned)
    expect(light?.tokensPerSecond).toBeLessThan(half?.tokensPerSecond ?? 0)
  })

  it('says that 141 GB of weights fit no card of 141 GB, and half as many layers one', () => {
    expect(planSearchCost(model, deviceOf('h200'), search).memory.fits).toBe(false)
    const shape = { ...llama70b, layers: 40, weightBytes: llama70b.weightBytes / 2 }
    expect(planSearchCost({ ...model, shape }, deviceOf('h200'), search).memory.fits).toBe(true)
    expect(planSearchCost({ ...model, shape }, deviceOf('a100-40g'), search).memory.fits).toBe(false)
  })

  it('reads all weights in every run: with few tokens a run the bandwidth limits the speed', () => {
    const short = { ...search, windowLength: 2, validationWindows: 1 }
    const { speeds } = planSearchCost(model, deviceOf('h100-80g'), short)
    expect(speeds[0]?.secondsPerEvaluation).toBeCloseTo(llama70b.weightBytes / 3.35e12, 9)
  })

  it('never plans more evaluations than the budget, and its parts make the whole', () => {
    const searches = fc.record({
      targets: fc.uniqueArray(fc.double({ min: 0.05, max: 0.9, noNaN: true }), { minLength: 1, maxLength: 4 }),
      budget: fc.integer({ min: 5, max: 2000 }),
      finalWindows: fc.integer({ min: 1, max: 200 }),
    })
    fc.assert(
      fc.property(searches, (part) => {
        const planned = { ...search, ...part }
        const { stages, totalSeconds, roundSeconds } = planSearchCost(model, deviceOf('a100-80g'), planned)
        const counted = stages.filter(({ name }) => name !== 'calibration' && name !== 'test')
        const evaluations = counted.reduce((sum, stage) => sum + stage.evaluations, 0)
        expect(evaluations).toBeLessThanOrEqual(planned.budget + 1e-9)
        expect(stages.reduce((sum, { seconds }) => sum + seconds, roundSeconds)).toBeCloseTo(totalSeconds, 6)
      }),
    )
  })
})
