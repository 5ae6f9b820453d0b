import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { channelImportance, type ModuleStatistics, rankModules, unitImportance } from './importance.js'
import { inputChannelsOf, maskMatrix } from './masks.js'
import { meanCompensationBias } from './mean-compensation.js'
import { modelShape } from './model-shape.test-support.js'
import { createPrunableModel, type PruningModule } from './prunable-model.js'
import { rankUnits, selectKeptIndices } from './rank-units.js'

const finite = fc.double({ min: -10, max: 10, noNaN: true })

/** Statistics as calibration sums them up, from inputs x[token][channel] and W[row][channel]. */
function statisticsOf(inputs: number[][], weight: number[][]): ModuleStatistics {
  const channels = weight[0]?.length ?? 0
  const total = (rows: number[][], term: (value: number) => number) =>
    Float64Array.from({ length: channels }, (_, j) => rows.reduce((sum, row) => sum + term(row[j] ?? 0), 0))
  return {
    count: inputs.length,
    sum: total(inputs, (x) => x),
    sumOfSquares: total(inputs, (x) => x * x),
    columnAbsoluteMean: total(weight, Math.abs).map((sum) => sum / weight.length),
    columnSquareSum: total(weight, (w) => w * w),
  }
}

describe('importance', () => {
  const matrix = (rows: number, columns: number) =>
    fc.array(fc.array(finite, { minLength: columns, maxLength: columns }), { minLength: rows, maxLength: rows })

  it('follows the formulas of the three metrics, computed another way', () => {
    fc.assert(
      fc.property(matrix(7, 4), matrix(3, 4), (inputs, weight) => {
        const statistics = statisticsOf(inputs, weight)
        for (let j = 0; j < 4; j++) {
          const x = inputs.map((row) => row[j] ?? 0)
          const w = weight.map((row) => row[j] ?? 0)
          const mean = x.reduce((a, b) => a + b) / 7
          const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 6
          const wanda = (Math.hypot(...x) / Math.sqrt(7)) * (w.reduce((sum, value) => sum + Math.abs(value), 0) / 3)
          expect(channelImportance('magnitude', statistics)[j]).toBeCloseTo(Math.hypot(...w), 9)
          expect(channelImportance('wanda', statistics)[j]).toBeCloseTo(wanda, 9)
          expect(channelImportance('fluctuation', statistics)[j]).toBeCloseTo(variance * Math.hypot(...w) ** 2, 6)
        }
      }),
    )
  })

  it('sums a KV group over the channels of all its query heads', () => {
    const module: PruningModule = { index: 0, layer: 0, kind: 'attention', units: 2, parametersPerUnit: 1 }
    const statistics = statisticsOf([[0]], [[1, 2, 3, 4, 50, 60, 70, 80]])
    expect(Array.from(unitImportance('magnitude', statistics, module))).toEqual([10, 260])
  })

  it('names the module whose importance is not finite', () => {
    const model = createPrunableModel(modelShape({ layers: 1, kvHeads: 1, queryHeads: 1, headDim: 1, ffnChannels: 2 }))
    const statistics = [statisticsOf([[1]], [[1]]), statisticsOf([[1, Number.POSITIVE_INFINITY]], [[1, 1]])]
    expect(() => rankModules('wanda', statistics, model)).toThrow(/unit 1 in layer 0 feed-forward/)
  })
})

describe('rankUnits', () => {
  const importances = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 40 })

  it('orders by importance, ties by index, and says which share is removed', () => {
    fc.assert(
      fc.property(importances, (values) => {
        const { order, removedShare } = rankUnits(Float64Array.from(values))
        const expected = values
          .map((value, unit) => ({ value, unit }))
          .sort((a, b) => b.value - a.value || a.unit - b.unit)
        expect(Array.from(order)).toEqual(expected.map(({ unit }) => unit))
        const total = values.reduce((a, b) => a + b)
        for (let kept = 0; kept <= values.length; kept++) {
          const removed = expected.slice(kept).reduce((sum, { value }) => sum + value, 0)
          const share = total > 0 ? removed / total : (values.length - kept) / values.length
          expect(removedShare[kept]).toBeCloseTo(share, 12)
        }
      }),
    )
  })

  it('selects nested sets: a unit kept at a lower count stays at every higher one', () => {
    fc.assert(
      fc.property(importances, (values) => {
        const ranking = rankUnits(Float64Array.from(values))
        for (let kept = 1; kept <= values.length; kept++) {
          const [more = []] = selectKeptIndices([ranking], [kept])
          const [fewer = []] = selectKeptIndices([ranking], [kept - 1])
          expect(more).toEqual([...more].sort((a, b) => a - b))
          expect(new Set([...more, ...fewer]).size).toBe(kept)
        }
      }),
    )
  })
})

describe('masks and compensation', () => {
  const shape = modelShape({ layers: 1, kvHeads: 2, queryHeads: 4, headDim: 3, hiddenSize: 5, ffnChannels: 6 })
  const model = createPrunableModel(shape)
  const [attention, ffn] = model.modules as readonly [PruningModule, PruningModule]

  it('sets one bit for each kept unit', () => {
    expect(maskMatrix(model, [[1], [0, 5]]).map((row) => Array.from(row))).toEqual([
      [0, 1],
      [1, 0, 0, 0, 0, 1],
    ])
  })

  it('maps units to the input channels that they feed', () => {
    expect(Array.from(inputChannelsOf(shape, attention, [1]))).toEqual([6, 7, 8, 9, 10, 11])
    expect(Array.from(inputChannelsOf(shape, ffn, [0, 4]))).toEqual([0, 4])
  })

  it('adds exactly what removed channels give when every token is the mean', () => {
    fc.assert(
      fc.property(
        fc.array(finite.map(Math.fround), { minLength: 30, maxLength: 30 }),
        fc.array(finite, { minLength: 6, maxLength: 6 }),
        fc.subarray([0, 1, 2, 3, 4, 5]),
        (weight, mean, kept) => {
          const bias = meanCompensationBias(Float32Array.from(weight), 5, Float64Array.from(mean), kept)
          for (let row = 0; row < 5; row++) {
            const product = (channels: readonly number[]) =>
              channels.reduce((sum, j) => sum + (weight[row * 6 + j] ?? 0) * (mean[j] ?? 0), 0)
            expect((bias[row] ?? 0) + product(kept)).toBeCloseTo(product([0, 1, 2, 3, 4, 5]), 3)
          }
        },
      ),
    )
  })
})
