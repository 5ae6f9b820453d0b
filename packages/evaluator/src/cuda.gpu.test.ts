/**
 * The evaluator on a real CUDA device: `npm run test:gpu`. Otherwise every test here is skipped and counted as such.
 * float32 is compared with NVIDIA_TF32_OVERRIDE=0, as the script sets it: ONNX Runtime otherwise rounds factors to TF32.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countEvaluationFlops, estimateEvaluatorMemory } from '@espalier/cost-model'
import { openModel } from '@espalier/model-graph'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import { findDevice } from './find-device.js'
import { createSmallModel, vocabulary } from './small-model.test-support.js'

const wanted = process.env.ESPALIER_TEST_GPU === '1'
const device = await findDevice({ provider: wanted ? 'auto' : 'cpu' })
const onCuda = device.provider === 'cuda' ? it : it.skip
if (device.provider !== 'cuda') {
  console.warn(`Nothing is tested on a GPU: ${device.fallbackReason ?? 'npm run test:gpu does it'}`)
}

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/${name}`, import.meta.url))
const demo = fileURLToPath(new URL('../../../models/demo', import.meta.url))

interface Reference {
  windowLength: number
  ids: number[]
  calibrationIds: number[]
  cases: { name: string; compensation: string; keepGroups: number[][]; keepChannels: number[][]; nll: number[] }[]
}

async function largestError(name: string, precision: 'fp32' | 'fp16' | 'bf16'): Promise<number> {
  const reference: Reference = JSON.parse(await readFile(fixture(`reference/${name}.json`), 'utf8'))
  const { windowLength } = reference
  const windowsOf = (ids: number[]) => ({
    ids: Int32Array.from(ids),
    windowLength,
    windows: Math.floor(ids.length / windowLength),
  })
  const evaluator = await createEvaluator({ modelDirectory: fixture(`models/${name}`), provider: 'cuda', precision })
  try {
    const calibration = await evaluator.calibrate(windowsOf(reference.calibrationIds))
    const errors: number[] = []
    for (const { compensation, keepGroups, keepChannels, nll } of reference.cases) {
      const keptIndices = keepGroups.flatMap((groups, layer) => [groups, keepChannels[layer] ?? []])
      const request = { ...windowsOf(reference.ids), keptIndices }
      const measured = await evaluator.measure({
        ...request,
        calibration: compensation === 'none' ? null : calibration,
      })
      errors.push(...nll.map((value, window) => Math.abs((measured.nll[window] ?? Number.NaN) - value) / value))
    }
    return Math.max(...errors)
  } finally {
    await evaluator.close()
  }
}

/** Bytes in use on the device, by all processes. */
function usedBytes(): number {
  const query = ['--query-gpu=memory.used', '--format=csv,noheader,nounits', '--id=0']
  return Number(execFileSync('nvidia-smi', query, { encoding: 'utf8' })) * 2 ** 20
}

describe('CUDA', () => {
  let wide = ''
  beforeAll(async () => {
    if (device.provider !== 'cuda') return
    wide = await mkdtemp(join(tmpdir(), 'espalier-cuda-'))
    const { single } = await createSmallModel(100_000)
    for (const [name, bytes] of single) await writeFile(join(wide, name), bytes)
  })
  afterAll(async () => {
    if (wide !== '') await rm(wide, { recursive: true })
  })

  onCuda.each(['llama-gqa', 'gemma2-caps', 'gemma3', 'phi3', 'qwen3', 'mistral-window'])(
    'measures %s as transformers does, within the rounding of each precision',
    async (name) => {
      expect(await largestError(name, 'fp32')).toBeLessThan(1e-4)
      expect(await largestError(name, 'fp16')).toBeLessThan(5e-3)
      expect(await largestError(name, 'bf16')).toBeLessThan(4e-2)
    },
  )

  onCuda('halves the batch when the memory of the card runs out', async () => {
    const windowLength = 64
    const perWindow = 3 * windowLength * 100_000 * 4
    const windows = 2 * Math.ceil((device.memoryBytes ?? 80e9) / perWindow)
    const ids = Int32Array.from({ length: windows * windowLength }, (_, index) => (index * 7919 + 13) % vocabulary)
    const evaluator = await createEvaluator({ modelDirectory: wide, provider: 'cuda', batchWindows: windows })
    const progress: number[] = []
    const onProgress = (done: number) => progress.push(done)
    const { nll } = await evaluator.measure({
      ids,
      windowLength,
      windows,
      keptIndices: null,
      calibration: null,
      onProgress,
    })
    await evaluator.close()
    expect(nll).toHaveLength(windows)
    expect(progress.length).toBeGreaterThan(1)
  })

  onCuda('takes no more memory than the formula says, and not far less', async () => {
    const { shape } = await openModel(demo)
    const [windowLength, batchWindows] = [256, 64]
    const before = usedBytes()
    const evaluator = await createEvaluator({ modelDirectory: demo, provider: 'cuda', batchWindows })
    const ids = Int32Array.from({ length: windowLength * batchWindows }, (_, index) => (index * 7919) % 2048)
    const request = { ids, windowLength, windows: batchWindows, keptIndices: null, calibration: null }
    await evaluator.measure(request)
    const used = usedBytes() - before
    await evaluator.close()
    const { totalBytes } = estimateEvaluatorMemory(
      shape,
      { provider: 'cuda', computeBytes: 2, weights: 'stored' },
      windowLength,
      batchWindows,
    )
    console.info(`memory: ${(used / 1e9).toFixed(2)} GB used, ${(totalBytes / 1e9).toFixed(2)} GB estimated`)
    expect(used).toBeLessThan(totalBytes)
    expect(used).toBeGreaterThan(totalBytes / 4)
  })

  onCuda('prints its throughput', async () => {
    const modelDirectory = process.env.ESPALIER_GPU_MODEL ?? demo
    const { shape } = await openModel(modelDirectory)
    const [windowLength, windows] = [512, 32]
    const evaluator = await createEvaluator({ modelDirectory, provider: 'cuda', batchWindows: 8 })
    const ids = Int32Array.from({ length: windowLength * windows }, (_, i) => (i * 7919) % shape.vocabularySize)
    const request = { ids, windowLength, windows, keptIndices: null, calibration: null }
    await evaluator.measure(request)
    const { seconds } = await evaluator.measure(request)
    await evaluator.close()
    const dense = Array.from({ length: 2 * shape.layers }, (_, i) => (i % 2 === 0 ? shape.kvHeads : shape.ffnChannels))
    const flops = countEvaluationFlops(shape, dense, { windowLength, windows })
    console.info(
      `${device.name}, ${evaluator.precision}: ${((windowLength * windows) / seconds).toFixed(0)} tokens/s, ${(flops / seconds / 1e12).toFixed(1)} TFLOP/s`,
    )
    expect(seconds).toBeGreaterThan(0)
  })
})
