import type { ModelShape } from '@espalier/contracts'

/** One prunable place: the attention or the feed-forward block of one layer. */
export interface PruningModule {
  /** 2 * layer + (0 attention | 1 ffn). */
  readonly index: number
  readonly layer: number
  readonly kind: 'attention' | 'ffn'
  /** KV groups, or feed-forward channels. */
  readonly units: number
  readonly parametersPerUnit: number
}

export interface PrunableModel {
  /** 2 x layers, attention and feed-forward alternating. */
  readonly modules: readonly PruningModule[]
  readonly layers: number
  /** Weights of q, k, v, o, gate, up and down; biases, norms and embeddings are not counted. */
  readonly prunableParameters: number
}

/**
 * The modules of a model and what a unit of each is worth.
 *
 * A KV group holds `rep = queryHeads / kvHeads` query heads: `rep * headDim` rows of q, `headDim` rows of k and of v,
 * `rep * headDim` columns of o, each `hiddenSize` long. A channel is a row of gate, a row of up, a column of down.
 */
export function createPrunableModel(shape: ModelShape): PrunableModel {
  const queryHeadsPerGroup = shape.queryHeads / shape.kvHeads
  const attentionUnit = (2 * queryHeadsPerGroup + 2) * shape.headDim * shape.hiddenSize
  const ffnUnit = 3 * shape.hiddenSize
  const modules = Array.from({ length: shape.layers }, (_, layer): PruningModule[] => [
    { index: 2 * layer, layer, kind: 'attention', units: shape.kvHeads, parametersPerUnit: attentionUnit },
    { index: 2 * layer + 1, layer, kind: 'ffn', units: shape.ffnChannels, parametersPerUnit: ffnUnit },
  ]).flat()
  const prunableParameters = shape.layers * (shape.kvHeads * attentionUnit + shape.ffnChannels * ffnUnit)
  return { modules, layers: shape.layers, prunableParameters }
}

/** How messages name a module: `layer 3 attention`. */
export function nameOfModule(module: PruningModule): string {
  return `layer ${module.layer} ${module.kind === 'attention' ? 'attention' : 'feed-forward'}`
}
