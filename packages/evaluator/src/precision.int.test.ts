/** Graphs in 16 bits, as far as a CPU can run them: float16 by way of casts that ONNX Runtime adds; bfloat16 not at all. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildEvaluationGraph, openModel } from '@espalier/model-graph'
import { describe, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import { createSession, locateWeights } from './create-session.js'
import type { Measurement } from './evaluator.js'

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/${name}`, import.meta.url))

interface Reference {
  windowLength: number
  ids: number[]
  calibrationIds: number[]
  cases: { name: string; compensation: string; keepGroups: number[][]; keepChannels: number[][]; nll: number[] }[]
}

/** float16 has 11 bits: 5e-4 a rounding, some dozen of them on the way. */
const tolerance = 5e-3

describe.each(['llama-gqa', 'gemma2-caps', 'gemma3', 'phi3', 'qwen3'])('%s in fp16', (name) => {
  const reference: Reference = JSON.parse(readFileSync(fixture(`reference/${name}.json`), 'utf8'))
  const tokens = {
    ids: Int32Array.from(reference.ids),
    windowLength: reference.windowLength,
    windows: Math.floor(reference.ids.length / reference.windowLength),
  }

  it('is near to transformers in float32, dense, pruned and compensated, and is not it', async () => {
    const evaluator = await createEvaluator({
      modelDirectory: fixture(`models/${name}`),
      threads: 1,
      precision: 'fp16',
    })
    expect(evaluator.precision).toBe('fp16')
    const calibrationIds = Int32Array.from(reference.calibrationIds)
    const { windowLength } = tokens
    const windows = Math.floor(calibrationIds.length / windowLength)
    const calibration = await evaluator.calibrate({ ids: calibrationIds, windowLength, windows })
    try {
      const errors: number[] = []
      for (const { compensation, keepGroups, keepChannels, nll } of reference.cases.slice(0, 6)) {
        const keptIndices = keepGroups.flatMap((groups, layer) => [groups, keepChannels[layer] ?? []])
        const measured: Measurement = await evaluator.measure({
          ...{ ...tokens, keptIndices, calibration: compensation === 'none' ? null : calibration },
        })
        errors.push(...nll.map((value, window) => Math.abs((measured.nll[window] ?? Number.NaN) - value) / value))
      }
      expect(Math.max(...errors)).toBeLessThan(tolerance)
      expect(Math.max(...errors)).toBeGreaterThan(1e-6)
    } finally {
      await evaluator.close()
    }
  })

  it.each([
    ['from any module on', {}],
    ['as for a CUDA device', { resumable: false, fillChannelsTo: 64 }],
  ])('in bf16 has types that fit together, %s: only the operators of a CPU are missing', async (_, options) => {
    const model = await openModel(fixture(`models/${name}`))
    const graph = buildEvaluationGraph(model, { locate: await locateWeights(model), precision: 'bf16', ...options })
    await expect(createSession(graph, { threads: 1, provider: 'cpu' })).rejects.toThrow(
      /Could not find an implementation/,
    )
  })
})

it('refuses bf16 on a CPU', async () => {
  const refused = createEvaluator({ modelDirectory: fixture('models/llama-gqa'), precision: 'bf16' })
  await expect(refused).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID', details: { allowed: ['fp32', 'fp16'] } })
})
