import type { ModelShape } from '@espalier/contracts'
import { estimateEvaluatorMemory } from '@espalier/cost-model'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { FittingBatch } from './fit-batch.js'
import { findOutOfMemory } from './out-of-memory.js'

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 30, hiddenSize: 576, queryHeads: 9, kvHeads: 3, headDim: 64 },
  ...{ ffnChannels: 1536, vocabularySize: 49_152, maxPositions: 8192, slidingWindow: null },
  ...{ tiedEmbeddings: true, attentionBiasConfigurable: true, mlpBiasConfigurable: true },
  ...{ parameters: 134_515_008, weightBytes: 269_030_016 },
}
const device = { provider: 'cuda', computeBytes: 2, weights: 'stored' } as const
const short = (bytes: number) => new Error(`Failed to allocate memory for requested buffer of size ${bytes}`)

/** Runs that need more than `fits` windows fail; which sizes were tried. */
function deviceWith(fits: number) {
  const tried: number[] = []
  const run = async (batch: number) => {
    tried.push(batch)
    if (batch > fits) throw short(batch * 1e9)
    return batch
  }
  return { tried, run }
}

describe('FittingBatch', () => {
  it('halves until a run fits, never tries again what has failed, and takes whole runs', async () => {
    const sizes = fc.record({ wanted: fc.integer({ min: 1, max: 100 }), fits: fc.integer({ min: 1, max: 100 }) })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ wanted, fits }) => {
        const batch = new FittingBatch({ shape, device, limitBytes: null })
        const { tried, run } = deviceWith(fits)
        const reached = await batch.run(512, wanted, run)
        expect(reached).toBeLessThanOrEqual(fits)
        expect(2 * reached + 1).toBeGreaterThanOrEqual(Math.min(wanted, fits))
        tried.length = 0
        await batch.run(512, wanted, run)
        expect(tried).toEqual([reached])
      }),
    )
  })

  it('counts tokens: what failed with short windows is not tried with longer ones', async () => {
    const batch = new FittingBatch({ shape, device, limitBytes: null })
    await batch.run(512, 8, deviceWith(2).run)
    const { tried, run } = deviceWith(8)
    await batch.run(1024, 8, run)
    expect(tried).toEqual([1])
  })

  it('says what one window needs, what is allowed and what failed', async () => {
    const batch = new FittingBatch({ shape, device, limitBytes: 8e9 })
    const { tried, run } = deviceWith(0)
    const neededBytes = estimateEvaluatorMemory(shape, device, 512, 1).totalBytes
    await expect(batch.run(512, 4, run)).rejects.toMatchObject({
      code: 'EVALUATION_OUT_OF_MEMORY',
      message: expect.stringMatching(
        /512 tokens needs about 1\.\d\d GB on cuda; the limit is 8\.00 GB; .* 1\.00 GB failed/,
      ),
      details: { neededBytes, limitBytes: 8e9, requestedBytes: 1e9, windowLength: 512, provider: 'cuda' },
    })
    expect(tried).toEqual([4, 2, 1])
  })

  it('starts within the limit, and runs nothing where one window is too much', async () => {
    const of = (batch: number) => estimateEvaluatorMemory(shape, device, 512, batch).totalBytes
    const { tried, run } = deviceWith(100)
    await new FittingBatch({ shape, device, limitBytes: of(3) }).run(512, 8, run)
    expect(tried).toEqual([3])
    const small = new FittingBatch({ shape, device, limitBytes: of(1) - 1 })
    await expect(small.run(512, 8, run)).rejects.toMatchObject({ code: 'EVALUATION_OUT_OF_MEMORY' })
    expect(tried).toEqual([3])
  })

  it('lets other errors pass', async () => {
    const batch = new FittingBatch({ shape, device, limitBytes: null })
    const broken = new Error('Non-zero status code returned while running Gather node')
    await expect(batch.run(512, 4, () => Promise.reject(broken))).rejects.toBe(broken)
  })
})

// As ONNX Runtime writes them: bfc_arena.cc, cuda_call.cc, and the C++ library.
it.each([
  [
    'Status Message: bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 8388608000',
    8388608000,
  ],
  [
    'BFCArena::AllocateRawInternal Available memory of 1048576 is smaller than requested bytes of 2830172160',
    2830172160,
  ],
  ['Exception during initialization: std::bad_alloc', null],
  [
    'CUDA failure 2: out of memory ; GPU=0 ; hostname=gpu-7 ; file=cuda_allocator.cc ; expr=cudaMalloc((void**)&p, size);',
    null,
  ],
  ['CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cublasCreate(&cublas_handle_);', null],
])('knows that memory ran out: %s', (message, requestedBytes) => {
  expect(findOutOfMemory(new Error(message))).toEqual({ requestedBytes })
})

it('knows what is not about memory', () => {
  expect(findOutOfMemory(new Error('CUDA failure 35: CUDA driver version is insufficient'))).toBeNull()
  expect(findOutOfMemory('out of memory')).toBeNull()
})
