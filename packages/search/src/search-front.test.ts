import type { FrontPoint, ModelShape, SearchSettings } from '@espalier/contracts'
import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { searchFront } from './search-front.js'
import { simulateSearch } from './simulate-search.test-support.js'

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 6, hiddenSize: 64, queryHeads: 4, kvHeads: 2, headDim: 16, ffnChannels: 128 },
  ...{ vocabularySize: 512, maxPositions: 512, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 300_000, weightBytes: 600_000 },
}
const settings: SearchSettings = {
  ...{ targets: [0.2, { resource: 'latency', ratio: 0.5 }], budget: 60, seed: 1, agent: 'network', metric: 'wanda' },
  ...{ compensation: 'mean', windowLength: 64, calibrationWindows: 8, validationWindows: 16, finalWindows: null },
  ...{ finalists: 3, minimumImprovement: 0, texts: { calibration: 'c', validation: 'v', test: 't' }, exports: [] },
}
const beats = (a: FrontPoint, b: FrontPoint, cost: (point: FrontPoint) => number) =>
  cost(a) <= cost(b) && a.logPerplexity <= b.logPerplexity && (cost(a) < cost(b) || a.logPerplexity < b.logPerplexity)

describe('searchFront', () => {
  it('is what no measured policy beats, by size and by time, on the windows of the search alone', () => {
    const { steps } = simulateSearch({ shape, settings, order: createRandomGenerator(2) })
    const front = searchFront({ settings, shape, steps })
    const measured = steps.flatMap((step) =>
      step.kind === 'evaluate' && step.result && step.payload.split === 'validation' && step.payload.windows === 16
        ? [{ ...step.payload, ...step.result }]
        : [],
    )
    expect(front.policies).toBe(measured.length)
    for (const [points, cost] of [
      [front.size, (point: FrontPoint) => point.parameters],
      [front.speed ?? [], (point: FrontPoint) => point.secondsPerToken ?? Number.NaN],
    ] as const) {
      expect(points.length).toBeGreaterThan(3)
      const on = new Set(points.map(({ keptUnits }) => keptUnits.join()))
      for (const { keptUnits, logPerplexity } of measured) {
        const parameters =
          300_000 - 6 * (2 * 6144 + 128 * 192) + keptUnits.reduce((sum, n, m) => sum + n * (m % 2 ? 192 : 6144), 0)
        const secondsPerToken = 1 / 64 + keptUnits.reduce((sum, n) => sum + n / 1024, 0)
        const point = { ...(points[0] as FrontPoint), parameters, secondsPerToken, logPerplexity }
        expect(points.some((other) => beats(other, point, cost))).toBe(!on.has(keptUnits.join()))
      }
    }
  })

  it('has no speed where no latencies are known, and nothing before anything was measured', () => {
    const plain = { ...settings, targets: [0.2] }
    expect(searchFront({ settings: plain, shape, steps: [] })).toEqual({
      windows: 16,
      policies: 0,
      size: [],
      speed: null,
    })
  })
})
