import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { evaluationsFileSchema } from '@espalier/contracts'
import { createEvaluationSet, type Predictor, trainSparsityPredictor, withinBinSpearman } from '@espalier/predictor'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { anyPredictorFromJSON } from './predictor-kinds.js'
import { trainCnnPredictor } from './train-cnn-predictor.js'

const path = new URL('../../predictor/fixtures/policies-demo.json', import.meta.url)
const set = createEvaluationSet(evaluationsFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))))
const options = { model: set.model, evaluations: set.evaluations.slice(0, 45), seed: 3 }
const heldOut = set.evaluations.slice(45)

async function scoreInOnnxRuntime(predictor: Predictor, policies: readonly (readonly number[])[]) {
  const dims = [policies.length, policies[0]?.length ?? 0]
  const thread = new Worker(new URL('../fixtures/score-onnx.mjs', import.meta.url), {
    workerData: { model: predictor.toOnnx(), kept: BigInt64Array.from(policies.flat(), BigInt), dims },
    execArgv: [],
  })
  const [outputs] = (await once(thread, 'message')) as [Record<string, { data: Float32Array }>]
  return outputs
}

describe('the CNN predictor of the bundled model', () => {
  let predictor: Predictor
  beforeAll(async () => {
    predictor = await trainCnnPredictor(options)
  })

  it('ranks policies of one sparsity far better than sparsity alone', () => {
    const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
    const sparsities = heldOut.map(({ sparsity }) => sparsity)
    const rank = (by: Predictor) => {
      const predicted = heldOut.map(({ kept }) => by.predict(kept).logPerplexity)
      return withinBinSpearman(measured, predicted, sparsities, [0, 0.15, 0.3, 0.45, 0.63])
    }
    expect(rank(predictor)).toBeGreaterThan(rank(trainSparsityPredictor(options)) + 0.15)
  })

  it('is the same trained again and from its JSON, and scores what it predicts', async () => {
    const json = JSON.stringify(predictor)
    expect(JSON.stringify(await trainCnnPredictor(options))).toBe(json)
    const revived = anyPredictorFromJSON(JSON.parse(json))
    expect(revived.summary).toEqual(predictor.summary)
    const score = revived.createScorer()
    for (const { kept } of heldOut.slice(0, 50)) {
      expect(revived.predict(kept)).toEqual(predictor.predict(kept))
      expect(score(kept)).toBe(predictor.predict(kept).logPerplexity)
    }
    expect(() => anyPredictorFromJSON({ ...predictor.toJSON(), networks: ['AAAAAA=='] })).toThrow(
      /has 1 weights, expected/,
    )
  })

  it('says in ONNX Runtime what it says here', async () => {
    const dense = set.model.modules.map(({ units }) => units)
    const policies = [dense, dense.map(() => 0), ...heldOut.slice(0, 200).map(({ kept }) => kept)]
    const outputs = await scoreInOnnxRuntime(predictor, policies)
    policies.forEach((kept, i) => {
      const expected = predictor.predict(kept)
      for (const name of ['logPerplexity', 'low', 'high'] as const) {
        const difference = Math.abs((outputs[name]?.data[i] ?? Number.NaN) - expected[name])
        expect(difference).toBeLessThan(1e-4 * Math.max(1, expected[name] / 10))
      }
    })
  })

  it('learns from a single evaluation that nothing is known, and refuses none', async () => {
    const single = await trainCnnPredictor({ ...options, evaluations: options.evaluations.slice(0, 1) })
    const { low, high } = single.predict(heldOut[0]?.kept ?? [])
    expect(high - low).toBeGreaterThan(0.01)
    await expect(trainCnnPredictor({ ...options, evaluations: [] })).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })
})
