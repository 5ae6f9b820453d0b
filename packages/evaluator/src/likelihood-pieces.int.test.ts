import { fileURLToPath } from 'node:url'
import { buildEvaluationGraph, evaluationInputs, evaluationOutputs, openModel } from '@espalier/model-graph'
import { createRandomGenerator, type KeptIndices } from '@espalier/pruning'
import { expect, it } from '@jest/globals'
import { Tensor } from 'onnxruntime-node'
import { allIndices, createPolicyFeeds } from './create-policy-feeds.js'
import { createSession, locateWeights } from './create-session.js'

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/models/${name}`, import.meta.url))
const [batch, length] = [2, 20] as const

/** Half of the channels, compared with the dense model, in pieces of at most `maxLogits` logits. */
async function measure(directory: string, maxLogits: number) {
  const model = await openModel(directory)
  const graph = buildEvaluationGraph(model, { locate: await locateWeights(model), maxLogits, resumable: false })
  const session = await createSession(graph, { threads: 1, provider: 'cpu' })
  const random = createRandomGenerator(3, 'ids')
  const ids = Array.from({ length: batch * length }, () => BigInt(random.integer(model.shape.vocabularySize)))
  const inputs = { [evaluationInputs.ids]: new Tensor('int64', BigInt64Array.from(ids), [batch, length]) }
  const range = (count: number) => Array.from({ length: count }, (_, index) => index)
  const kept = model.layers.flatMap(() => [range(model.shape.kvHeads), range(model.shape.ffnChannels / 2)])
  const feedsOf = (keptIndices: KeptIndices) => createPolicyFeeds(model.shape, keptIndices, null, new Map())
  try {
    const dense = await session.run({ ...feedsOf(allIndices(model.shape)), ...inputs })
    const reference = { [evaluationInputs.referenceHidden]: dense[evaluationOutputs.hidden] as Tensor }
    const policy = feedsOf(kept)
    const [plain, compared, same] = [
      await session.run({ ...policy, ...inputs }),
      await session.run({ ...policy, ...inputs, ...reference }),
      await session.run({ ...feedsOf(allIndices(model.shape)), ...inputs, ...reference }),
    ]
    const floats = (outputs: typeof dense, name: string) => Array.from(outputs[name]?.data as Float32Array)
    expect(floats(plain, evaluationOutputs.nll)).toEqual(floats(compared, evaluationOutputs.nll))
    const [kl, agrees] = [floats(compared, evaluationOutputs.kl), floats(compared, evaluationOutputs.agrees)]
    const self = floats(same, evaluationOutputs.kl)
    return { nll: floats(compared, evaluationOutputs.nll), kl, agrees, self, selfAgrees: floats(same, 'agrees') }
  } finally {
    await session.release()
  }
}

const predicted = batch * (length - 1)

it.each(['llama-gqa', 'gemma2-caps'])('%s: pieces of the vocabulary give what the whole gives', async (name) => {
  const whole = await measure(fixture(name), 1e9)
  expect(whole.nll).toHaveLength(predicted)
  expect(whole.agrees).toContain(1)
  expect(whole.agrees).toContain(0)
  // 15 pieces of 35 columns, the last one of 22; one column a piece.
  for (const maxLogits of [predicted * 35, 1]) {
    const pieces = await measure(fixture(name), maxLogits)
    pieces.nll.forEach((value, token) => {
      expect(Math.abs(value - (whole.nll[token] ?? 0))).toBeLessThan(1e-5)
    })
    pieces.kl.forEach((value, token) => {
      expect(Math.abs(value - (whole.kl[token] ?? 0))).toBeLessThan(1e-6 + 1e-5 * value)
    })
    expect(pieces.agrees).toEqual(whole.agrees)
    expect(Math.max(...pieces.self.map(Math.abs))).toBeLessThan(1e-9)
    expect(pieces.selfAgrees).toEqual(Array.from({ length: predicted }, () => 1))
  }
})
