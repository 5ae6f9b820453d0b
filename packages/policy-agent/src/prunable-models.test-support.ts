import type { ModelShape } from '@espalier/contracts'
import { createPrunableModel, maximumSparsityOf, type PrunableModel } from '@espalier/pruning'
import fc from 'fast-check'

type Sizes = Pick<ModelShape, 'layers' | 'kvHeads' | 'queryHeads' | 'headDim' | 'hiddenSize' | 'ffnChannels'>

function shapeOf(sizes: Sizes): ModelShape {
  return {
    architecture: 'llama',
    vocabularySize: 100,
    maxPositions: 128,
    slidingWindow: null,
    tiedEmbeddings: true,
    attentionBiasConfigurable: true,
    mlpBiasConfigurable: true,
    parameters: 4_000_000,
    weightBytes: 8_000_000,
    ...sizes,
  }
}

export function modelOf(sizes: Sizes): PrunableModel {
  return createPrunableModel(shapeOf(sizes))
}

/** The bundled model's shape. */
export const demoShape = shapeOf({
  layers: 8,
  kvHeads: 3,
  queryHeads: 6,
  headDim: 32,
  hiddenSize: 192,
  ffnChannels: 512,
})
export const demoModel = createPrunableModel(demoShape)

/** Models whose channels together outweigh a group, as in every real one, with a sparsity they can reach. */
export const modelsAndTargets = fc
  .record({
    layers: fc.integer({ min: 1, max: 5 }),
    kvHeads: fc.integer({ min: 1, max: 6 }),
    queriesPerGroup: fc.integer({ min: 1, max: 4 }),
    headDim: fc.integer({ min: 1, max: 8 }).map((half) => 2 * half),
    hiddenSize: fc.integer({ min: 4, max: 32 }),
    extraChannels: fc.integer({ min: 1, max: 60 }),
    share: fc.double({ min: 0.01, max: 0.99, noNaN: true }),
  })
  .map(({ queriesPerGroup, extraChannels, share, ...sizes }) => {
    const channelsOfGroup = Math.ceil(((2 * queriesPerGroup + 2) * sizes.headDim) / 3)
    const ffnChannels = channelsOfGroup + extraChannels
    const model = modelOf({ ...sizes, queryHeads: sizes.kvHeads * queriesPerGroup, ffnChannels })
    return { model, target: share * maximumSparsityOf(model) }
  })
