import type { ModelShape } from '@espalier/contracts'
import { type Predictor, trainPredictor } from '@espalier/predictor'
import { createPrunableModel, createRandomGenerator, denseUnits, randomPolicy, rankUnits } from '@espalier/pruning'

export const shape: ModelShape = {
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

export const model = createPrunableModel(shape)

/** Trained on a model whose damages add up; other seeds, other evaluations. */
export function trainDemoPredictor(seed: number): Predictor {
  const random = createRandomGenerator(seed)
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
  return trainPredictor({ model, rankings, evaluations, seed: 1 })
}
