import { createRandomGenerator, randomPolicy } from '@espalier/pruning'
import { afterAll, describe, expect, it } from '@jest/globals'
import { KeptPredictor } from './kept-predictor.js'
import { model, trainDemoPredictor } from './predictor-worker.test-support.js'
import { scorePolicies } from './score-policies.js'

describe('scorePolicies', () => {
  const random = createRandomGenerator(7)
  const predictor = trainDemoPredictor(3)
  const kept = new KeptPredictor()
  const openPredictor = () => kept.keep({ stepId: 'ste_1', fencingToken: 1 }, predictor.toOnnx())
  afterAll(() => kept.release())

  it('gives by ONNX Runtime what the predictor says itself', async () => {
    const policies = Array.from({ length: 2500 }, () => randomPolicy(model, 0.2 + 0.4 * random.uniform(), random))
    const scores = await scorePolicies(await openPredictor(), policies)
    expect(scores).toHaveLength(2500)
    policies.forEach((kept, index) => {
      const expected = predictor.predict(kept)
      expect(scores[index]?.logPerplexity).toBeCloseTo(expected.logPerplexity, 4)
      expect(scores[index]?.low).toBeCloseTo(expected.low, 4)
      expect(scores[index]?.high).toBeCloseTo(expected.high, 4)
    })
  })

  it('scores nothing when nothing was proposed', async () => {
    expect(await scorePolicies(await openPredictor(), [])).toEqual([])
  })
})
