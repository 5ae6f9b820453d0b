import { latencyTableSchema } from '@espalier/contracts'
import { costOf, createPrunableModel, createResourceCost } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { measureLatencies } from './measure-latencies.js'

const shape = {
  ...{ architecture: 'llama' as const, layers: 2, hiddenSize: 64, queryHeads: 4, kvHeads: 2, headDim: 16 },
  ...{ ffnChannels: 100, vocabularySize: 500, maxPositions: 512, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 200_000, weightBytes: 400_000 },
}

describe('measureLatencies', () => {
  it('gives a table of this model that costs can be made of', async () => {
    const table = await measureLatencies(shape, { contextLength: 128, threads: 1 })
    expect(latencyTableSchema.parse(table)).toEqual(table)
    expect(table.attention.map(({ kept }) => kept)).toEqual([0, 1, 2])
    expect(table.ffn.map(({ kept }) => kept)).toEqual([0, 13, 25, 38, 50, 63, 75, 88, 100])
    expect(table).toMatchObject({ contextLength: 128, device: 'cpu, 1 threads' })
    const cost = createResourceCost('latency', shape, createPrunableModel(shape), { latencies: table })
    expect(costOf(cost, [0, 0, 0, 0])).toBe(table.fixedSeconds)
    expect(costOf(cost, [2, 100, 2, 100])).toBeGreaterThan(0)
    expect(costOf(cost, [2, 100, 1, 40])).toBeLessThanOrEqual(costOf(cost, [2, 100, 2, 100]))
  })
})
