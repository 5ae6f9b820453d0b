import type { ModelShape } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { checkElimination } from './check-elimination.js'

const shapeOf = (ffnChannels: number): ModelShape => ({
  ...{ architecture: 'llama', layers: 16, hiddenSize: 2048, queryHeads: 32, kvHeads: 8, headDim: 64, ffnChannels },
  ...{ vocabularySize: 128_256, maxPositions: 131_072, slidingWindow: null, tiedEmbeddings: true },
  ...{
    attentionBiasConfigurable: true,
    mlpBiasConfigurable: true,
    parameters: 1_235_814_400,
    weightBytes: 2_471_628_800,
  },
})

describe('checkElimination', () => {
  it('allows 8,192 inputs and says what is too wide', () => {
    expect(() => checkElimination(shapeOf(8192))).not.toThrow()
    expect(() => checkElimination(shapeOf(8193))).toThrow(
      expect.objectContaining({ code: 'CALIBRATION_TOO_LARGE', details: { inputs: 8193, allowed: 8192 } }),
    )
  })
})
