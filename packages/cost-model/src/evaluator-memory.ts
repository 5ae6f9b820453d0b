import type { MemoryNeeds, ModelShape, WeightPrecision } from '@espalier/contracts'
import { cpuRuntimeBytes, gpuRuntimeBytes } from './devices.js'
import { estimateMemory, type MemoryEstimate } from './evaluation-cost.js'

/** Tokens that one run of the graph holds when nobody says otherwise: large matrices, small activations. */
export const tokensPerRun = 2048

/** What an evaluator computes with: `runtimeBytes` is what the process or the CUDA context takes before any model. */
export interface EvaluatorDevice {
  readonly provider: 'cpu' | 'cuda'
  /** Bytes of a number in products. */
  readonly computeBytes: 2 | 4
  readonly weights: WeightPrecision
}

/** Bytes of a weight as stored; of a model that mixes them, of most. */
export function storedBytesOf({ weightBytes, parameters }: ModelShape): 2 | 4 {
  return weightBytes / parameters < 3 ? 2 : 4
}

/** Memory of an evaluator whose runs hold so many windows: the one formula for plans, claims and batches. */
export function estimateEvaluatorMemory(
  shape: ModelShape,
  { provider, computeBytes, weights }: EvaluatorDevice,
  windowLength: number,
  batchWindows: number,
): MemoryEstimate {
  return estimateMemory(shape, {
    windowLength,
    tokensPerRun: batchWindows * windowLength,
    storedBytes: storedBytesOf(shape),
    computeBytes,
    weights,
    runtimeBytes: provider === 'cuda' ? gpuRuntimeBytes : cpuRuntimeBytes,
  })
}

/**
 * The least memory with which an evaluator of each kind can evaluate a model at all: runs of one window. On a GPU
 * products are computed in the type of the weights, on a CPU in float32.
 */
export function leastMemoryOf(shape: ModelShape, windowLength: number): MemoryNeeds {
  const least = (device: EvaluatorDevice) => estimateEvaluatorMemory(shape, device, windowLength, 1).totalBytes
  return {
    cpu: least({ provider: 'cpu', computeBytes: 4, weights: 'stored' }),
    cpuWithFp32Weights: least({ provider: 'cpu', computeBytes: 4, weights: 'fp32' }),
    cuda: least({ provider: 'cuda', computeBytes: storedBytesOf(shape), weights: 'stored' }),
  }
}

/** The most windows of at most `wanted` whose run fits into `limitBytes`; 0: not even one does. */
export function largestBatch(
  shape: ModelShape,
  device: EvaluatorDevice,
  windowLength: number,
  { wanted, limitBytes }: { readonly wanted: number; readonly limitBytes: number },
): number {
  let batch = wanted
  while (batch > 0 && estimateEvaluatorMemory(shape, device, windowLength, batch).totalBytes > limitBytes) batch--
  return batch
}
