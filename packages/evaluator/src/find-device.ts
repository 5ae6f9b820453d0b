import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { promisify } from 'node:util'
import { EspalierError, type EvaluatorCapacity, type ExecutionProvider } from '@espalier/contracts'
import { usableMemoryBytes } from './gram-memory.js'
import { ThreadClient } from './thread-client.js'

export interface DeviceRequest {
  /** `auto`: CUDA where a probe finds that it works, else the CPU. */
  readonly provider: ExecutionProvider | 'auto'
  /** Which CUDA device; default: 0. */
  readonly deviceId?: number | undefined
}

/** What an evaluator computes with. */
export interface EvaluatorDeviceDescription extends EvaluatorCapacity {
  /** As its maker calls it. */
  readonly name: string
  /** Why `auto` did not choose CUDA; null: it did, or the choice was made. */
  readonly fallbackReason: string | null
}

/** @throws EspalierError CONFIGURATION_INVALID when CUDA was asked for and a probe finds that it does not work */
export async function findDevice({ provider, deviceId = 0 }: DeviceRequest): Promise<EvaluatorDeviceDescription> {
  if (provider === 'cpu') return describeCpu(null)
  const thread = new ThreadClient()
  try {
    await thread.call('probeCuda', { deviceId })
    const precisions = ['fp32' as const, 'fp16' as const, 'bf16' as const]
    return { provider: 'cuda', precisions, ...(await describeGpu(deviceId)), fallbackReason: null }
  } catch (error) {
    if (provider === 'cuda' || !(error instanceof EspalierError)) throw error
    return describeCpu(String(error.details.reason ?? error.message))
  } finally {
    await thread.close()
  }
}

function describeCpu(fallbackReason: string | null): EvaluatorDeviceDescription {
  const name = cpus()[0]?.model.trim() || 'CPU'
  return { provider: 'cpu', precisions: ['fp32', 'fp16'], name, memoryBytes: usableMemoryBytes(), fallbackReason }
}

/** What the driver's own tool says; ONNX Runtime names no device. Without the tool the memory is not known. */
async function describeGpu(deviceId: number): Promise<{ name: string; memoryBytes: number | null }> {
  try {
    const query = ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits', `--id=${deviceId}`]
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 10_000 })
    return parseGpu(stdout)
  } catch {
    return { name: 'CUDA device', memoryBytes: null }
  }
}

/** "NVIDIA H100 80GB HBM3, 81559": name and mebibytes, as nvidia-smi prints them without units. */
export function parseGpu(line: string): { name: string; memoryBytes: number | null } {
  const [name = '', mebibytes = ''] =
    line
      .trim()
      .split('\n', 1)[0]
      ?.split(/,\s*(?=[^,]*$)/) ?? []
  const memory = Number(mebibytes)
  return { name, memoryBytes: mebibytes !== '' && Number.isFinite(memory) ? memory * 2 ** 20 : null }
}
