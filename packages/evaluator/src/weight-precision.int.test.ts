import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import type { Evaluator } from './evaluator.js'

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/models/${name}`, import.meta.url))
const evaluators: Evaluator[] = []
afterAll(async () => {
  await Promise.all(evaluators.map((evaluator) => evaluator.close()))
})

/** Of a quarter of every module, with compensation and comparison, and of the dense model. */
async function measure(name: string, weights: 'stored' | 'fp32', threads: number) {
  const evaluator = await createEvaluator({ modelDirectory: fixture(name), weights, threads })
  evaluators.push(evaluator)
  const windows = {
    ids: Int32Array.from({ length: 192 }, (_, at) => (at * 37 + 11) % 500),
    windowLength: 48,
    windows: 4,
  }
  const calibration = await evaluator.calibrate(windows)
  const keptIndices = calibration.modules.map(({ sum }, module) =>
    module % 2 === 0 ? [0] : [...sum.keys()].slice(0, 24),
  )
  const request = { ...windows, calibration, compareWithDense: true }
  const policy = await evaluator.measure({ ...request, keptIndices })
  const dense = await evaluator.measure({ ...request, keptIndices: null })
  return { policy: { ...policy, seconds: 0 }, dense: { ...dense, seconds: 0 } }
}

describe('weights as stored and as fp32', () => {
  // bfloat16 in shards; bfloat16 with tied embeddings; float32
  it.each(['phi3-shards', 'gemma2-caps', 'llama-biases'])('%s: the same numbers to the last bit', async (name) => {
    const stored = await measure(name, 'stored', 1)
    expect(stored.policy.againstDense?.klDivergence).toBeGreaterThan(0)
    expect(await measure(name, 'fp32', 1)).toEqual(stored)
    // Sessions are made anew with other threads when machines are shared: no number may depend on that.
    expect(await measure(name, 'stored', 2)).toEqual(stored)
  })
})
