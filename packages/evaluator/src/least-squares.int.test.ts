/** Least squares in the evaluator against numpy in float64 (bench/reference/least_squares_reference.py). */
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel, packedLength, rankModules, selectKeptIndices, uniformPolicy } from '@espalier/pruning'
import { readFloat64Range } from '@espalier/tensor-files'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { readCalibration, writeCalibration } from './calibration-file.js'
import { createEvaluator } from './create-evaluator.js'
import type { CalibrationRecord, Evaluator, ModuleWork } from './evaluator.js'
import { checkGramDisk, gramBytesOf, planGramPasses } from './gram-memory.js'

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
      if (!(gram instanceof Float64Array)) throw new Error('the Gram matrices of the bundled model fit into memory')
      for (let i = 0, at = 0; i < sum.length; i++) {
        for (let j = 0; j <= i; j++, at++) {
          const pairs = i === j ? 1 : 2
          form += pairs * (gram[at] ?? Number.NaN) * (reference.probe[i] ?? 0) * (reference.probe[j] ?? 0)
        }
        expect(relativeError(gram[(i * (i + 3)) / 2] ?? Number.NaN, sumOfSquares[i] ?? 0)).toBeLessThan(1e-9)
      }
      expect(relativeError(form, reference.gramForms[module] ?? Number.NaN)).toBeLessThan(1e-5)
    })
  })

  it('are refused when neither memory nor disk can hold them, with both numbers', () => {
    const large = { layers: 80, queryHeads: 64, headDim: 128, ffnChannels: 28_672 }
    expect(gramBytesOf(large).peak).toBeGreaterThan(80 * 1.5 * 28_672 ** 2 * 8)
    expect(() => checkGramDisk(large, '/scratch', 2e11)).toThrow(/take 284\.\d GB for this model.*200\.0 GB are free/)
    expect(() => checkGramDisk(large, '/scratch', 3e11)).not.toThrow()
  })

  it('are recorded in as many passes as the memory needs, every row once and none beyond it', () => {
    const shape = { layers: 3, queryHeads: 4, headDim: 8, ffnChannels: 70 }
    const bytesOf = ({ firstRow, endRow }: { firstRow: number; endRow: number }) =>
      8 * ((endRow - firstRow) * endRow + packedLength(endRow) - packedLength(firstRow))
    expect(planGramPasses(shape, 1e9)).toHaveLength(1)
    for (const memoryBytes of [2_000, 20_000, 90_000]) {
      const passes = planGramPasses(shape, memoryBytes)
      for (const blocks of passes) {
        expect(blocks.reduce((sum, block) => sum + bytesOf(block), 0)).toBeLessThanOrEqual(memoryBytes)
      }
      const rows = passes
        .flat()
        .flatMap(({ module, firstRow, endRow }) =>
          Array.from({ length: endRow - firstRow }, (_, row) => `${module}/${firstRow + row}`),
        )
      expect(rows).toHaveLength(3 * (32 + 70))
      expect(new Set(rows).size).toBe(rows.length)
    }
    expect(() => planGramPasses(shape, 500)).toThrow(/One row of a Gram matrix takes \d+ bytes/)
  })

  it('and fitted weights are the same with next to no memory, from files that are gone in the end', async () => {
    const scratchDirectory = await mkdtemp(join(tmpdir(), 'espalier-scratch-'))
    const modelDirectory = `${repository}/packages/model-graph/fixtures/models/llama-gqa`
    const model = createPrunableModel((await openModel(modelDirectory)).shape)
    const tokens = Int32Array.from({ length: 192 }, (_, i) => (i * i * 7 + 3 * i) % 500)
    const text = { ids: tokens, windowLength: 64, windows: 3 }
    const kept = uniformPolicy(model, 0.35)
    const measureWith = async (gramMemoryBytes?: number) => {
      const limited = await createEvaluator({ modelDirectory, gramMemoryBytes, scratchDirectory })
      try {
        const record = await limited.calibrate({ ...text, gram: true })
        const file = join(scratchDirectory, 'calibration.safetensors')
        await writeCalibration(file, record)
        const read = await readCalibration(file, gramMemoryBytes)
        const rankings = rankModules('wanda', read.modules, model)
        const policy = { keptIndices: selectKeptIndices(rankings, kept), compensation: 'least-squares' } as const
        const grams = await Promise.all(record.modules.map(({ gram }) => readFloat64Range(gram ?? new Float64Array())))
        const isStored = read.modules.every(({ gram }) => !(gram instanceof Float64Array))
        const measured = await limited.measure({ ...text, ...policy, metric: 'wanda', calibration: read })
        return { grams: grams.map((gram) => gram.slice()), isStored, nll: measured.nll }
      } finally {
        await limited.close()
      }
    }
    const whole = await measureWith()
    const little = await measureWith(60_000)
    expect([whole.isStored, little.isStored]).toEqual([false, true])
    whole.grams.forEach((gram, module) => {
      const found = little.grams[module] ?? new Float64Array()
      expect(found.length).toBe(gram.length)
      const largest = gram.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      expect(gram.reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i] ?? 0))), 0)).toBeLessThanOrEqual(
        1e-12 * largest,
      )
    })
    little.nll.forEach((value, window) => {
      expect(relativeError(value, whole.nll[window] ?? Number.NaN)).toBeLessThan(1e-6)
    })
    expect(await readdir(scratchDirectory)).toEqual(['calibration.safetensors'])
    await rm(scratchDirectory, { recursive: true })
  })
})

describe('eliminating units', () => {
  it('gives a ranking that a calibration file keeps, under which weights are fitted', async () => {
    const told: ModuleWork[] = []
    const onModule = (work: ModuleWork) => told.push(work)
    const record = await evaluator.calibrate({ ids, windowLength, windows, gram: true, elimination: true, onModule })
    const directory = await mkdtemp(join(tmpdir(), 'espalier-elimination-'))
    const file = join(directory, 'calibration.safetensors')
    await writeCalibration(file, record)
    const read = await readCalibration(file)
    await rm(directory, { recursive: true })
    const { shape } = await openModel(demo)
    const model = createPrunableModel(shape)
    const rankings = rankModules('obs', read.modules, model)
    expect(rankings).toEqual(rankModules('obs', record.modules, model))
    expect(() => rankModules('obs', calibration.modules, model)).toThrow(/no elimination errors of layer 0 attention/)

    const keptIndices = selectKeptIndices(rankings, uniformPolicy(model, 0.5))
    const policy = { ids, windowLength, windows, keptIndices, calibration: read } as const
    const fitted = { ...policy, compensation: 'least-squares' } as const
    const ranked = await evaluator.measure({ ...fitted, metric: 'obs', onModule })
    const alone = await evaluator.measure(fitted)
    const modules = model.modules.length
    const eachOf = (task: 'eliminate' | 'fit') => model.modules.map(({ index }) => ({ task, done: index, modules }))
    expect(told).toEqual([...eachOf('eliminate'), ...eachOf('fit')])
    ranked.nll.forEach((value, window) => {
      expect(relativeError(value, alone.nll[window] ?? Number.NaN)).toBeLessThan(1e-5)
    })
    // The units that others stand in for best are not those that count least by themselves.
    const byWanda = selectKeptIndices(rankModules('wanda', read.modules, model), uniformPolicy(model, 0.5))
    const wanda = await evaluator.measure({ ...fitted, keptIndices: byWanda, metric: 'wanda' })
    expect(ranked.perplexity).toBeLessThan(wanda.perplexity)
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
