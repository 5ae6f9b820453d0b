/** Least squares in the evaluator against numpy in float64 (bench/reference/least_squares_reference.py). */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel, rankModules, selectKeptIndices, uniformPolicy } from '@espalier/pruning'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import type { CalibrationRecord, Evaluator } from './evaluator.js'
import { checkGramMemory, gramBytesOf } from './gram-memory.js'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const demo = `${repository}/models/demo`
const reference: {
  windowLength: number
  calibrationWindows: number
  windows: number
  probe: number[]
  gramForms: number[]
  cases: { name: string; keptIndices: number[][]; nll: number[] }[]
} = JSON.parse(readFileSync(`${repository}/packages/model-graph/fixtures/reference/demo-least-squares.json`, 'utf8'))
const { windowLength, windows, calibrationWindows } = reference

let evaluator: Evaluator
let calibration: CalibrationRecord
let ids: Int32Array
beforeAll(async () => {
  evaluator = await createEvaluator({ modelDirectory: demo })
  const tokenizer = await loadTokenizer(demo)
  const encode = (split: string) => tokenizer.encode(readFileSync(`${demo}/texts/${split}.txt`, 'utf8'))
  ids = await encode('test')
  const text = { ids: await encode('calibration'), windowLength, windows: calibrationWindows }
  calibration = await evaluator.calibrate({ ...text, gram: true })
})
afterAll(() => evaluator.close())

const relativeError = (found: number, expected: number) => Math.abs(found - expected) / Math.abs(expected)

describe('Gram matrices', () => {
  it('are sum x x^T of numpy in every module', () => {
    expect(calibration.modules).toHaveLength(reference.gramForms.length)
    calibration.modules.forEach(({ gram, sum, sumOfSquares }, module) => {
      let form = 0
      for (let i = 0, at = 0; i < sum.length; i++) {
        for (let j = 0; j <= i; j++, at++) {
          const pairs = i === j ? 1 : 2
          form += pairs * (gram?.[at] ?? Number.NaN) * (reference.probe[i] ?? 0) * (reference.probe[j] ?? 0)
        }
        expect(relativeError(gram?.[(i * (i + 3)) / 2] ?? Number.NaN, sumOfSquares[i] ?? 0)).toBeLessThan(1e-9)
      }
      expect(relativeError(form, reference.gramForms[module] ?? Number.NaN)).toBeLessThan(1e-5)
    })
  })

  it('are refused when they would not fit into memory, with both numbers', () => {
    const large = { layers: 80, queryHeads: 64, headDim: 128, ffnChannels: 28_672 }
    expect(gramBytesOf(large).peak).toBeGreaterThan(80 * 1.5 * 28_672 ** 2 * 8)
    expect(() => checkGramMemory(large, 1e12)).toThrow(/take 853\.\d GB for this model; 500\.0 GB are allowed/)
    expect(() => checkGramMemory(large, 2e12)).not.toThrow()
  })
})

describe('measuring under least squares', () => {
  it.each(reference.cases)('$name: likelihoods of numpy within 1e-5', async ({ keptIndices, nll }) => {
    const tokens = { ids, windowLength, windows }
    const measured = await evaluator.measure({ ...tokens, keptIndices, calibration, compensation: 'least-squares' })
    measured.nll.forEach((value, window) => {
      expect(relativeError(value, nll[window] ?? Number.NaN)).toBeLessThan(1e-5)
    })
  })

  it('gives the same from the factorisation of a ranking as from one of its own', async () => {
    const model = createPrunableModel((await openModel(demo)).shape)
    const rankings = rankModules('wanda', calibration.modules, model)
    const request = { ids, windowLength, windows: 8, calibration }
    for (const sparsity of [0.5, 0.2]) {
      const keptIndices = selectKeptIndices(rankings, uniformPolicy(model, sparsity))
      const measure = (how: object) => evaluator.measure({ ...request, keptIndices, ...how })
      const own = await measure({ compensation: 'least-squares' })
      // The solutions are kept by now: another record of the same numbers has another name.
      const ranked = await measure({ compensation: 'least-squares', metric: 'wanda', calibration: { ...calibration } })
      expect(relativeError(ranked.logPerplexity, own.logPerplexity)).toBeLessThan(1e-6)
      const byMean = await measure({})
      expect(own.logPerplexity).toBeLessThan(byMean.logPerplexity - 0.01)
      expect((await measure({ compensation: 'mean' })).nll).toEqual(byMean.nll)
    }
  })

  it('needs a calibration that recorded Gram matrices', async () => {
    const without = { ...calibration, modules: calibration.modules.map((module) => ({ ...module, gram: null })) }
    const [first] = reference.cases
    const refused = evaluator.measure({
      ...{ ids, windowLength, windows },
      ...{ keptIndices: first?.keptIndices ?? null, calibration: without, compensation: 'least-squares' },
    })
    await expect(refused).rejects.toMatchObject({ code: 'POLICY_UNCALIBRATED' })
  })
})
