import type { ModelShape } from '@espalier/contracts'
import { trainPredictor } from '@espalier/predictor'
import { createPrunableModel, createRandomGenerator, denseUnits, randomPolicy, rankUnits } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { scorePolicies } from './score-policies.js'

const shape: ModelShape = {
  architecture: 'llama',
  layers: 4,
  hiddenSize: 64,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 16,
  ffnChannels: 96,
  vocabularySize: 512,
  maxPositions: 256,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 300_000,
  weightBytes: 600_000,
}

describe('scorePolicies', () => {
  const model = createPrunableModel(shape)
  const random = createRandomGenerator(3)
  const rankings = model.modules.map(({ units }) =>
    rankUnits(Float64Array.from({ length: units }, () => random.uniform())),
  )
  const damage = (kept: readonly number[]) =>
    model.modules.reduce(
      (sum, { index, units }) => sum + (0.1 + 0.05 * index) * (1 - (kept[index] ?? 0) / units) ** 2,
      0,
    )
  const evaluations = [denseUnits(model), ...Array.from({ length: 40 }, () => randomPolicy(model, 0.4, random))].map(
    (kept, index) => ({
      purpose: index === 0 ? ('dense' as const) : ('random' as const),
      kept,
      logPerplexity: 3 + damage(kept),
    }),
  )
  const predictor = trainPredictor({ model, rankings, evaluations, seed: 1 })

  it('gives by ONNX Runtime what the predictor says itself', async () => {
    const policies = Array.from({ length: 200 }, () => randomPolicy(model, 0.2 + 0.4 * random.uniform(), random))
    const scores = await scorePolicies(predictor.toOnnx(), policies)
    expect(scores).toHaveLength(200)
    policies.forEach((kept, index) => {
      const expected = predictor.predict(kept)
      expect(scores[index]?.logPerplexity).toBeCloseTo(expected.logPerplexity, 4)
      expect(scores[index]?.low).toBeCloseTo(expected.low, 4)
      expect(scores[index]?.high).toBeCloseTo(expected.high, 4)
    })
  })

  it('scores nothing when nothing was proposed', async () => {
    expect(await scorePolicies(predictor.toOnnx(), [])).toEqual([])
  })
})
