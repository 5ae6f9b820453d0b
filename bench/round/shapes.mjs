/** Shapes of the models that the benchmark of a round searches; weights are never needed. */
const common = {
  architecture: 'llama',
  slidingWindow: null,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
}

export const shapes = {
  /** The bundled model. */
  '8 layers': {
    ...common,
    layers: 8,
    hiddenSize: 192,
    queryHeads: 6,
    kvHeads: 3,
    headDim: 32,
    ffnChannels: 512,
    vocabularySize: 2048,
    maxPositions: 1024,
    tiedEmbeddings: true,
    parameters: 3_641_664,
    weightBytes: 7_283_328,
  },
  /** Llama 3 70B. */
  '80 layers': {
    ...common,
    layers: 80,
    hiddenSize: 8192,
    queryHeads: 64,
    kvHeads: 8,
    headDim: 128,
    ffnChannels: 28_672,
    vocabularySize: 128_256,
    maxPositions: 8192,
    tiedEmbeddings: false,
    parameters: 70_553_706_496,
    weightBytes: 141_107_412_992,
  },
}

/** Constraints as a person who knows the device sets them: multiples, bounds, frozen layers and two resources. */
export function typicalConstraints({ layers, ffnChannels }) {
  return {
    channelMultiple: 64,
    bounds: [{ module: 'ffn', minimum: ffnChannels / 8 }],
    freezeLayers: [0, layers - 1],
    limits: [
      { resource: 'kv-bytes', ratio: 0.75 },
      { resource: 'flops', ratio: 0.85 },
    ],
  }
}
