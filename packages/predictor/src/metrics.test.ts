import { describe, expect, it } from '@jest/globals'
import { intervalCoverage, meanAbsoluteError, spearman, withinBinSpearman } from './metrics.js'

describe('metrics', () => {
  it('ranks like the published example, ties at their mean rank', () => {
    // https://en.wikipedia.org/wiki/Spearman%27s_rank_correlation_coefficient: IQ and hours of television, -29/165
    const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    expect(spearman(iq, hours)).toBeCloseTo(-29 / 165, 12)
    // Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5)
    expect(spearman([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(4.5 / Math.sqrt(22.5), 12)
    expect(spearman([1, 1, 1], [1, 2, 3])).toBe(0)
  })

  it('gives no credit within bins for knowing the sparsity alone', () => {
    const sparsities = [0.11, 0.12, 0.13, 0.31, 0.32, 0.33]
    const measured = [3, 2, 1, 6, 5, 4]
    expect(withinBinSpearman(measured, sparsities, sparsities, [0, 0.2, 0.4], 3)).toBe(-1)
    expect(spearman(measured, sparsities)).toBeGreaterThan(0.5)
    expect(withinBinSpearman(measured, measured, sparsities, [0, 0.2, 0.32], 3)).toBe(1)
    expect(withinBinSpearman(measured, measured, sparsities, [0.5, 0.6], 3)).toBeNaN()
  })

  it('measures error and coverage', () => {
    expect(meanAbsoluteError([1, 2], [2, 4])).toBe(1.5)
    const intervals = [
      { low: 0, high: 1 },
      { low: 0, high: 1 },
    ]
    expect(intervalCoverage([1, 1.1], intervals)).toBe(0.5)
  })
})
