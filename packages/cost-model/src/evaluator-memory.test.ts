import type { ModelShape } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { estimateEvaluatorMemory, largestBatch, leastMemoryOf } from './evaluator-memory.js'

/** SmolLM2-135M, bfloat16. What it takes on a CPU is measured by the tests of `espalier plan`. */
const stored16: ModelShape = {
  ...{ architecture: 'llama', layers: 30, hiddenSize: 576, queryHeads: 9, kvHeads: 3, headDim: 64 },
  ...{ ffnChannels: 1536, vocabularySize: 49_152, maxPositions: 8192, slidingWindow: null },
  ...{ tiedEmbeddings: true, attentionBiasConfigurable: true, mlpBiasConfigurable: true },
  ...{ parameters: 134_515_008, weightBytes: 269_030_016 },
}
const stored32 = { ...stored16, weightBytes: 2 * stored16.weightBytes }
const [windowLength, windows] = [512, 4]
const memoryOf = (
  shape: ModelShape,
  weights: 'stored' | 'fp32',
  provider: 'cpu' | 'cuda' = 'cpu',
  computeBytes: 2 | 4 = 4,
) => estimateEvaluatorMemory(shape, { provider, computeBytes, weights }, windowLength, windows)

describe('weights converted to fp32', () => {
  it('take twice what 16 bits take, and nothing to convert them in when a module runs', () => {
    const [stored, converted] = [memoryOf(stored16, 'stored'), memoryOf(stored16, 'fp32')]
    expect(stored.weightBytes).toBe(stored16.weightBytes)
    expect(converted.weightBytes).toBe(2 * stored16.weightBytes)
    expect(converted.workspaceBytes).toBeLessThan(stored.workspaceBytes)
    expect(converted).toEqual(memoryOf(stored32, 'stored'))
  })

  it('change nothing of weights that are fp32, and where products are computed in 16 bits', () => {
    expect(memoryOf(stored32, 'fp32')).toEqual(memoryOf(stored32, 'stored'))
    expect(memoryOf(stored16, 'fp32', 'cuda', 2)).toEqual(memoryOf(stored16, 'stored', 'cuda', 2))
  })

  it('leave room for fewer windows a run, and need an evaluator with more memory', () => {
    const device = { provider: 'cpu', computeBytes: 4 } as const
    const room = { wanted: 64, limitBytes: 1e9 }
    const stored = largestBatch(stored16, { ...device, weights: 'stored' }, windowLength, room)
    const converted = largestBatch(stored16, { ...device, weights: 'fp32' }, windowLength, room)
    expect(converted).toBeLessThan(stored)
    expect(converted).toBeGreaterThan(0)
    const least = leastMemoryOf(stored16, windowLength)
    expect(least.cpuWithFp32Weights - least.cpu).toBeGreaterThan(0.9 * stored16.weightBytes)
  })
})
