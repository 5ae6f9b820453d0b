import { cp, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildCompactGraph, locateInModel, openModel } from '@espalier/model-graph'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { readCalibration, writeCalibration } from './calibration-file.js'
import { createEvaluator } from './create-evaluator.js'
import type { Evaluator, MeasureRequest } from './evaluator.js'
import { measureLogitsModel } from './measure-logits-model.js'

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/models/${name}`, import.meta.url))
const demo = fileURLToPath(new URL('../../../models/demo', import.meta.url))
const vocabulary = 512
const ids = Int32Array.from({ length: 960 }, (_, index) => (index * 7919 + 13) % vocabulary)
const dense = { keptIndices: null, calibration: null }
const tokens = { ids, windowLength: 48, windows: 4 }

let folder: string
let evaluator: Evaluator
const others: Evaluator[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-evaluator-'))
  evaluator = await createEvaluator({ modelDirectory: fixture('llama-gqa'), batchWindows: 1 })
})
afterAll(async () => {
  await Promise.all([evaluator, ...others].map((each) => each.close()))
  await rm(folder, { recursive: true })
})

async function openForTest(modelDirectory: string): Promise<Evaluator> {
  const opened = await createEvaluator({ modelDirectory, threads: 1 })
  others.push(opened)
  return opened
}

async function copyModel(name: string, copy: string): Promise<string> {
  const directory = join(folder, copy)
  await cp(fixture(name), directory, { recursive: true })
  return directory
}

describe('measure', () => {
  it('gives the perplexity of its windows', async () => {
    const { nll, logPerplexity, perplexity, tokens: predicted } = await evaluator.measure({ ...dense, ...tokens })
    expect(predicted).toBe(4 * 47)
    expect(logPerplexity).toBeCloseTo(nll.reduce((sum, value) => sum + value) / predicted, 12)
    expect(perplexity).toBeCloseTo(Math.exp(logPerplexity), 9)
  })

  it('gives the same however the windows are batched', async () => {
    const other = await createEvaluator({ modelDirectory: fixture('llama-gqa'), batchWindows: 3, threads: 1 })
    const found = await other.measure({ ...dense, ...tokens })
    const expected = await evaluator.measure({ ...dense, ...tokens })
    await other.close()
    found.nll.forEach((value, window) => {
      expect(value / (expected.nll[window] ?? 0)).toBeCloseTo(1, 6)
    })
  })

  // Written with standard operators alone: attention and likelihood share nothing with the evaluation graph.
  async function measurePlain(directory: string, tokens: { ids: Int32Array; windowLength: number; windows: number }) {
    const model = await openModel(directory)
    const kept = model.layers.flatMap(() => [model.shape.kvHeads, model.shape.ffnChannels])
    const path = join(directory, 'model.onnx')
    await writeFile(path, buildCompactGraph(model, { kept, locate: locateInModel, compensation: [] }))
    return measureLogitsModel({ path, ...tokens })
  }

  function expectSame(found: readonly number[], expected: readonly number[]): void {
    expect(found).toHaveLength(expected.length)
    found.forEach((value, window) => {
      expect(value / (expected[window] ?? 0)).toBeCloseTo(1, 6)
    })
  }

  it.each([2, 3, 7, 8, 9, 17, 64])('agrees with the plain graph at windows of %i tokens', async (windowLength) => {
    const windows = { ids, windowLength, windows: 3 }
    const plain = await measurePlain(await copyModel('llama-gqa', `plain-${windowLength}`), windows)
    expectSame((await evaluator.measure({ ...dense, ...windows })).nll, plain.nll)
    expect(plain.modelSeconds).toBeGreaterThan(0)
    expect(plain.modelSeconds).toBeLessThanOrEqual(plain.seconds)
  })

  it.each([1, 7, 62, 63])('agrees with the plain graph when attention slides over %i tokens', async (sliding) => {
    const directory = await copyModel('mistral', `sliding-${sliding}`)
    const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'))
    await writeFile(join(directory, 'config.json'), JSON.stringify({ ...config, sliding_window: sliding }))
    const slider = await openForTest(directory)
    const full = await openForTest(fixture('mistral'))
    for (const windowLength of [2, 9, 64]) {
      const windows = { ids, windowLength, windows: 3 }
      const { nll } = await slider.measure({ ...dense, ...windows })
      expectSame(nll, (await measurePlain(directory, windows)).nll)
      const { nll: unlimited } = await full.measure({ ...dense, ...windows })
      // The last token of a window is only predicted.
      if (windowLength - 1 <= sliding) expectSame(nll, unlimited)
      else expect(nll).not.toEqual(unlimited)
    }
  })

  it('stops between batches when it is aborted, and measures again afterwards', async () => {
    const controller = new AbortController()
    const seen: number[] = []
    const onProgress = (windowsDone: number) => {
      seen.push(windowsDone)
      controller.abort(new Error('enough'))
    }
    const windows = 2000
    const long = Int32Array.from({ length: 48 * windows }, (_, index) => index % vocabulary)
    const request: MeasureRequest = { ...dense, ids: long, windowLength: 48, windows, onProgress }
    await expect(evaluator.measure({ ...request, signal: controller.signal })).rejects.toThrow('enough')
    expect(seen.length).toBeLessThan(windows)
    await expect(evaluator.measure({ ...request, signal: AbortSignal.abort() })).rejects.toThrow()
    await expect(evaluator.measure({ ...dense, ...tokens })).resolves.toMatchObject({ tokens: 4 * 47 })
  })

  it('leaves the calling thread free', async () => {
    const large = await createEvaluator({ modelDirectory: demo, batchWindows: 32 })
    const gaps: number[] = []
    let last = performance.now()
    const timer = setInterval(() => {
      gaps.push(performance.now() - last)
      last = performance.now()
    }, 2)
    const many = Int32Array.from({ length: 8192 }, (_, index) => (index * 7919) % 2048)
    const { seconds } = await large.measure({ ...dense, ids: many, windowLength: 256, windows: 32 })
    clearInterval(timer)
    await large.close()
    expect(gaps.length).toBeGreaterThan(5)
    expect(Math.max(...gaps)).toBeLessThan((seconds * 1000) / 2)
  })
})

describe('what is refused', () => {
  const all = (length: number) => Array.from({ length }, (_, unit) => unit)
  const whole = [all(2), all(96), all(2), all(96), all(2), all(96)]
  const withModule = (module: number, kept: number[]) => whole.map((units, index) => (index === module ? kept : units))

  it.each<[string, Partial<MeasureRequest>, string, RegExp]>([
    ['a text too short', { windows: 21 }, 'TEXT_TOO_SHORT', /960 tokens; 21 windows of 48 need 1008/],
    ['a window beyond the positions', { windowLength: 257, windows: 1 }, 'MODEL_WINDOW_TOO_LONG', /257.*256/],
    ['a window of one token', { windowLength: 1 }, 'REQUEST_INVALID', /windowLength is 1/],
    ['no window', { windows: 0 }, 'REQUEST_INVALID', /windows is 0/],
    ['a token too large', { ids: ids.with(100, 512) }, 'TOKEN_OUT_OF_RANGE', /512 at position 100/],
    ['a negative token', { ids: ids.with(0, -1) }, 'TOKEN_OUT_OF_RANGE', /-1 at position 0/],
    ['too few modules', { keptIndices: whole.slice(2) }, 'POLICY_LAYER_COUNT', /4 modules.*3 layers/],
    [
      'a unit that is not there',
      { keptIndices: withModule(2, [0, 2]) },
      'POLICY_UNIT_OUT_OF_RANGE',
      /layer 1, attention/,
    ],
    ['a unit kept twice', { keptIndices: withModule(5, [4, 4]) }, 'POLICY_INVALID', /layer 2, feed-forward/],
  ])('%s', async (_, change, code, message) => {
    const refused = evaluator.measure({ ...dense, ...tokens, ...change })
    await expect(refused).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })

  it.each([{ batchWindows: 0 }, { threads: Number.NaN }])('an evaluator with %j', async (options) => {
    const refused = createEvaluator({ modelDirectory: demo, ...options })
    await expect(refused).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })

  it('a model whose numbers are not finite', async () => {
    const directory = await copyModel('llama-gqa', 'broken')
    const { finalNorm } = await openModel(directory)
    const file = await open(finalNorm.file, 'r+')
    await file.write(new Uint8Array(Float32Array.of(Number.NaN).buffer), 0, 4, finalNorm.offset)
    await file.close()
    const broken = await createEvaluator({ modelDirectory: directory })
    await expect(broken.measure({ ...dense, ...tokens })).rejects.toMatchObject({ code: 'EVALUATION_NOT_FINITE' })
    await broken.close()
  })

  it('a folder that is no model', async () => {
    await expect(createEvaluator({ modelDirectory: join(folder, 'none') })).rejects.toMatchObject({
      code: 'MODEL_NOT_FOUND',
    })
  })

  it('CUDA where it does not work; where it does, it measures the same', async () => {
    const modelDirectory = fixture('llama-gqa')
    try {
      const gpu = await createEvaluator({ modelDirectory, provider: 'cuda' })
      const [found, expected] = await Promise.all([gpu, evaluator].map((each) => each.measure({ ...dense, ...tokens })))
      await gpu.close()
      expect(found?.logPerplexity).toBeCloseTo(expected?.logPerplexity ?? 0, 4)
    } catch (error) {
      expect(error).toMatchObject({ code: 'CONFIGURATION_INVALID', message: expect.stringContaining('cuda') })
    }
  })
})

describe('the calibration file', () => {
  it('gives back the record, bit for bit', async () => {
    const path = join(folder, 'calibration.safetensors')
    const record = await evaluator.calibrate(tokens)
    await writeCalibration(path, record)
    expect(await readCalibration(path)).toEqual(record)
  })

  it('is refused when it is another file', async () => {
    const path = join(fixture('llama-gqa'), 'model.safetensors')
    await expect(readCalibration(path)).rejects.toMatchObject({ code: 'MODEL_FILE_INVALID' })
  })
})
