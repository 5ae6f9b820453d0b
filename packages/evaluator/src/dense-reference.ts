import { createHash } from 'node:crypto'
import { evaluationInputs, evaluationOutputs, type HuggingFaceModel } from '@espalier/model-graph'
import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { ByteCache } from './byte-cache.js'
import { allIndices, createPolicyFeeds, createStateFeeds } from './create-policy-feeds.js'
import { dataOf } from './run-windows.js'

/** Enough for 64 windows of 512 tokens at a hidden size of 1,024. */
const cacheBytes = 128 * 2 ** 20

/**
 * Final hidden states of the dense model, which logits are computed from: [B x (T - 1), hidden] float, far smaller than
 * the logits. Those of the batches used last are kept, so that several policies cost one dense pass.
 */
export class DenseReference {
  readonly #model: HuggingFaceModel
  readonly #session: InferenceSession
  readonly #resumable: boolean
  readonly #batches = new ByteCache<Tensor>(cacheBytes)

  /** @param session of the evaluation graph, `resumable` or not */
  constructor(model: HuggingFaceModel, session: InferenceSession, resumable: boolean) {
    this.#model = model
    this.#session = session
    this.#resumable = resumable
  }

  /** @param batch int64 [B, T] */
  async hiddenOf(batch: Tensor): Promise<Tensor> {
    const key = keyOf(batch)
    const known = this.#batches.find(key)
    if (known !== undefined) return known
    const { shape } = this.#model
    const feeds = createPolicyFeeds(shape, allIndices(shape), null, new Map())
    const all = { firstModule: 0, state: null, wanted: [] }
    const stateFeeds = this.#resumable ? createStateFeeds(shape, batch, all) : {}
    const inputs = { ...feeds, ...stateFeeds, [evaluationInputs.ids]: batch }
    const outputs = await this.#session.run(inputs, [evaluationOutputs.hidden])
    const data = dataOf(outputs, evaluationOutputs.hidden, 'float32')
    const hidden = new Tensor('float32', data, [data.length / shape.hiddenSize, shape.hiddenSize])
    this.#batches.set(key, hidden, data.byteLength)
    return hidden
  }
}

function keyOf({ data, dims }: Tensor): string {
  // int64 data are a BigInt64Array.
  return createHash('sha256')
    .update(`${dims.join(',')} `)
    .update(data as BigInt64Array)
    .digest('hex')
}
