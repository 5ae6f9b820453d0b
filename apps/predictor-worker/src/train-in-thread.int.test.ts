import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ModelShape, type PredictorKind, predictorKinds } from '@espalier/contracts'
import { readCalibration, writeCalibration } from '@espalier/evaluator'
import { predictorTrainers } from '@espalier/predictor-cnn'
import { createPrunableModel, createRandomGenerator, denseUnits, randomPolicy, rankModules } from '@espalier/pruning'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { trainInThread } from './train-in-thread.js'

const shape: ModelShape = {
  architecture: 'llama',
  layers: 3,
  hiddenSize: 32,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  ffnChannels: 64,
  vocabularySize: 512,
  maxPositions: 256,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 100_000,
  weightBytes: 400_000,
}

describe('trainInThread', () => {
  const model = createPrunableModel(shape)
  const random = createRandomGenerator(5)
  const evaluations = [denseUnits(model), ...Array.from({ length: 40 }, () => randomPolicy(model, 0.4, random))].map(
    (kept, index) => ({
      purpose: index === 0 ? ('dense' as const) : ('random' as const),
      kept,
      logPerplexity: 3 + model.modules.reduce((sum, { units }, m) => sum + (1 - (kept[m] ?? 0) / units) ** 2, 0) / 10,
    }),
  )
  let folder: string
  let calibration: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-train-'))
    calibration = join(folder, 'calibration.safetensors')
    const values = (length: number) => Float64Array.from({ length }, () => random.uniform())
    const modules = model.modules.map(({ kind }) => {
      const channels = kind === 'attention' ? shape.queryHeads * shape.headDim : shape.ffnChannels
      return {
        count: 64,
        sum: values(channels),
        sumOfSquares: values(channels).map((value) => 64 * (1 + value)),
        columnAbsoluteMean: values(channels),
        columnSquareSum: values(channels),
        outputMean: values(shape.hiddenSize),
        gram: null,
      }
    })
    await writeCalibration(calibration, { modules, windows: 4, windowLength: 16 })
  })
  afterAll(() => rm(folder, { recursive: true }))

  const request = (kind: PredictorKind = 'curve') => ({
    kind,
    shape,
    metric: 'wanda' as const,
    calibration,
    evaluations,
    seed: 7,
  })

  it.each(predictorKinds)(
    'gives the %s predictor of the recorded importance, and the main thread goes on',
    async (kind) => {
      let ticks = 0
      const clock = setInterval(() => ticks++, 5)
      const trained = await trainInThread(request(kind), new AbortController().signal)
      clearInterval(clock)
      expect(ticks).toBeGreaterThan(5)
      const rankings = rankModules('wanda', (await readCalibration(calibration)).modules, model)
      const expected = await predictorTrainers[kind]({ model, rankings, evaluations, seed: 7 })
      expect(trained.parameters).toEqual(expected.toJSON())
      expect(Buffer.from(trained.onnx).equals(expected.toOnnx())).toBe(true)
      expect(trained.summary).toEqual(expected.summary)
    },
  )

  it('passes on what training throws, with its code', async () => {
    const work = trainInThread({ ...request(), evaluations: [] }, new AbortController().signal)
    await expect(work).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  })

  it('ends at once when the work is stopped', async () => {
    const controller = new AbortController()
    const reason = new Error('the lease is lost')
    const work = trainInThread(request(), controller.signal)
    controller.abort(reason)
    await expect(work).rejects.toBe(reason)
    await expect(trainInThread(request(), controller.signal)).rejects.toBe(reason)
  })
})
