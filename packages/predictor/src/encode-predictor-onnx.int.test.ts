import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import type { Predictor } from './create-predictor.js'
import { drawDemoEvaluations } from './demo-evaluations.test-support.js'
import { trainPredictor } from './train-predictor.js'
import { trainLinearPredictor, trainSparsityPredictor } from './train-ridge-predictor.js'

type Outputs = Record<string, { type: string; dims: number[]; data: Float32Array }>

async function scoreInOnnxRuntime(predictor: Predictor, policies: readonly (readonly number[])[]) {
  const dims = [policies.length, policies[0]?.length ?? 0]
  const kept = BigInt64Array.from(policies.flat(), BigInt)
  const thread = new Worker(new URL('../fixtures/score-onnx.mjs', import.meta.url), {
    workerData: { model: predictor.toOnnx(), kept, dims },
    execArgv: [],
  })
  const [outputs] = (await once(thread, 'message')) as [Outputs]
  return outputs
}

describe('the predictor as ONNX', () => {
  it.each([
    { size: 3, kind: 'curve', train: trainPredictor },
    { size: 17, kind: 'curve', train: trainPredictor },
    { size: 60, kind: 'curve', train: trainPredictor },
    { size: 240, kind: 'curve', train: trainPredictor },
    { size: 60, kind: 'linear', train: trainLinearPredictor },
    { size: 60, kind: 'sparsity', train: trainSparsityPredictor },
  ])('says in ONNX Runtime what it says here: $kind, from $size evaluations', async ({ size, train }) => {
    const { options, heldOut } = drawDemoEvaluations(240, 1)
    const predictor = train({ ...options, evaluations: options.evaluations.slice(0, size) })
    if (size === 240) expect(predictor.summary.residualSamples).toBeGreaterThan(0)
    const { modules } = options.model
    const random = createRandomGenerator(1, 'onnx')
    const policies = [
      modules.map(({ units }) => units),
      modules.map(() => 0),
      ...heldOut.map(({ kept }) => kept),
      ...Array.from({ length: 300 }, () => modules.map(({ units }) => random.integer(units + 1))),
    ]
    const outputs = await scoreInOnnxRuntime(predictor, policies)
    expect(Object.keys(outputs).toSorted()).toEqual(['high', 'logPerplexity', 'low'])
    for (const { type, dims } of Object.values(outputs)) expect([type, dims]).toEqual(['float32', [policies.length]])
    policies.forEach((kept, i) => {
      const expected = predictor.predict(kept)
      for (const name of ['logPerplexity', 'low', 'high'] as const) {
        const difference = Math.abs((outputs[name]?.data[i] ?? Number.NaN) - expected[name])
        // Single precision: 1e-4, relative where rises are far beyond what any model survives.
        expect(difference).toBeLessThan(1e-4 * Math.max(1, expected[name] / 10))
      }
    })
  })
})
