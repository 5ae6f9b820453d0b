import type { ModelShape } from '@espalier/contracts'

/** The shape of the bundled model, changed where a test says so. */
export function modelShape(changes: Partial<ModelShape>): ModelShape {
  return {
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
    ...changes,
  }
}
