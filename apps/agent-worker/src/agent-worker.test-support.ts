import { type ModelShape, type SearchSettings, searchDefaults } from '@espalier/contracts'
import { trainPredictor } from '@espalier/predictor'
import { createPrunableModel, createRandomGenerator, denseUnits, randomPolicy, rankUnits } from '@espalier/pruning'

/** The bundled model. */
export const shape: ModelShape = {
  architecture: 'llama',
  layers: 8,
  hiddenSize: 192,
  queryHeads: 6,
  kvHeads: 3,
  headDim: 32,
  ffnChannels: 512,
  vocabularySize: 2048,
  maxPositions: 1024,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 3_640_512,
  weightBytes: 7_281_024,
}

export const targets = [0.2, 0.5]

export const settings: SearchSettings = {
  ...searchDefaults,
  ...{ metric: 'wanda', compensation: 'mean' },
  targets,
  exports: [],
  texts: { calibration: '/c.txt', validation: '/v.txt', test: '/t.txt' },
}

/** Later layers matter less. */
function logPerplexity(kept: readonly number[]): number {
  const damage = kept.map(
    (count, m) => (0.3 / (1 + m)) * (1 - count / (m % 2 ? shape.ffnChannels : shape.kvHeads)) ** 2,
  )
  return damage.reduce((sum, value) => sum + value, 3)
}

/** A predictor of 41 evaluations. */
export function trainSmallPredictor() {
  const model = createPrunableModel(shape)
  const random = createRandomGenerator(7)
  const randoms = Array.from({ length: 40 }, () => randomPolicy(model, 0.5 * random.uniform(), random))
  const importances = model.modules.map(({ units }) => Float64Array.from({ length: units }, () => random.uniform()))
  const evaluations = [denseUnits(model), ...randoms].map((kept, index) => {
    return { purpose: index === 0 ? ('dense' as const) : ('random' as const), kept, logPerplexity: logPerplexity(kept) }
  })
  return trainPredictor({ model, rankings: importances.map(rankUnits), evaluations, seed: 1 })
}
