/** A place where policies can be measured. Peaks are dense, without sparsity. */
export interface Device {
  readonly name: string
  readonly title: string
  readonly memoryBytes: number
  /** Peak of matrix products, FLOP/s, with 16-bit and with 32-bit weights. */
  readonly peakFlops: { readonly bits16: number; readonly bits32: number }
  /** bytes/s; null: not known, and then not a limit. */
  readonly memoryBandwidth: number | null
  /** Whether products with 16-bit weights are computed in 16 bits (on a CPU they are converted to float32). */
  readonly computes16Bit: boolean
  /** Share of the peak that an evaluation reaches. */
  readonly efficiency: number
  /** Where the efficiency comes from. */
  readonly efficiencySource: string
  readonly runtimeBytes: number
  /** Where the peaks come from. */
  readonly source: string
}

/**
 * Share of the peak assumed on GPUs: what the evaluator aims at for models of a billion parameters and more. No run
 * on a device stands behind it yet.
 */
const gpuEfficiency = 0.5
/** CUDA context, libraries and their workspaces. Assumed. */
export const gpuRuntimeBytes = 1e9

/** Measured with SmolLM2-135M at 512-token windows (`npm run bench -- evaluation`): 0.91. */
const cpuEfficiency = 0.88
/** Measured: Node and ONNX Runtime with a model of 7 MB. */
export const cpuRuntimeBytes = 1.33e8

interface GpuNumbers {
  readonly gigabytes: number
  readonly tera16: number
  readonly tera32: number
  readonly gigabytesPerSecond: number
  readonly source: string
}

function gpu(name: string, title: string, numbers: GpuNumbers): Device {
  return {
    ...{ name, title, source: numbers.source, efficiency: gpuEfficiency, runtimeBytes: gpuRuntimeBytes },
    memoryBytes: numbers.gigabytes * 1e9,
    peakFlops: { bits16: numbers.tera16 * 1e12, bits32: numbers.tera32 * 1e12 },
    memoryBandwidth: numbers.gigabytesPerSecond * 1e9,
    computes16Bit: true,
    efficiencySource: 'assumed, not measured',
  }
}

/** Tensor-core peaks with float32 accumulation: BF16, and TF32 for 32-bit weights. */
export const gpus: readonly Device[] = [
  gpu('h100-80g', 'NVIDIA H100 SXM 80 GB', {
    ...{ gigabytes: 80, tera16: 989, tera32: 494, gigabytesPerSecond: 3350 },
    source: 'NVIDIA H100 data sheet (half of the figures with sparsity)',
  }),
  gpu('h200', 'NVIDIA H200 SXM 141 GB', {
    ...{ gigabytes: 141, tera16: 989, tera32: 494, gigabytesPerSecond: 4800 },
    source: 'NVIDIA H200 data sheet (half of the figures with sparsity)',
  }),
  gpu('a100-80g', 'NVIDIA A100 SXM 80 GB', {
    ...{ gigabytes: 80, tera16: 312, tera32: 156, gigabytesPerSecond: 2039 },
    source: 'NVIDIA A100 data sheet',
  }),
  gpu('a100-40g', 'NVIDIA A100 SXM 40 GB', {
    ...{ gigabytes: 40, tera16: 312, tera32: 156, gigabytesPerSecond: 1555 },
    source: 'NVIDIA A100 data sheet',
  }),
  gpu('l40s', 'NVIDIA L40S 48 GB', {
    ...{ gigabytes: 48, tera16: 362, tera32: 183, gigabytesPerSecond: 864 },
    source: 'NVIDIA L40S data sheet',
  }),
  gpu('rtx4090', 'NVIDIA GeForce RTX 4090 24 GB', {
    ...{ gigabytes: 24, tera16: 165.2, tera32: 82.6, gigabytesPerSecond: 1008 },
    source: 'NVIDIA Ada GPU architecture white paper',
  }),
]

export const cpuName = 'cpu'
export const deviceNames: readonly string[] = [...gpus.map(({ name }) => name), cpuName]

/** This machine, as measured by a quick float32 product. */
export function createCpuDevice(measured: { memoryBytes: number; peakFlops: number; threads: number }): Device {
  const { memoryBytes, peakFlops, threads } = measured
  return {
    name: cpuName,
    title: `this machine, ${threads} threads`,
    ...{ memoryBytes, runtimeBytes: cpuRuntimeBytes, efficiency: cpuEfficiency },
    peakFlops: { bits16: peakFlops, bits32: peakFlops },
    memoryBandwidth: null,
    computes16Bit: false,
    efficiencySource: 'measured with SmolLM2-135M at 512-token windows; smaller models reach less',
    source: 'float32 product measured now',
  }
}
