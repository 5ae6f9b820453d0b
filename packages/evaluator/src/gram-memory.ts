import { totalmem } from 'node:os'
import { EspalierError, type ModelShape } from '@espalier/contracts'
import { packedLength } from '@espalier/pruning'

/** Share of the memory that Gram matrices may take while they are recorded. */
const gramShare = 0.5

type ModuleWidths = Pick<ModelShape, 'layers' | 'queryHeads' | 'headDim' | 'ffnChannels'>

/** Bytes of a model's Gram matrices: as they are kept, and at the peak, when a run of the graph gives them whole. */
export function gramBytesOf(shape: ModuleWidths): { readonly kept: number; readonly peak: number } {
  const widths = [shape.queryHeads * shape.headDim, shape.ffnChannels]
  const total = (numbers: (width: number) => number) =>
    8 * shape.layers * widths.reduce((sum, width) => sum + numbers(width), 0)
  const kept = total(packedLength)
  return { kept, peak: kept + total((width) => width ** 2) }
}

/** @throws EspalierError CALIBRATION_TOO_LARGE */
export function checkGramMemory(shape: ModuleWidths, memoryBytes: number = usableMemoryBytes()): void {
  const { peak } = gramBytesOf(shape)
  const allowed = Math.floor(memoryBytes * gramShare)
  if (peak <= allowed) return
  throw new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `The Gram matrices of least-squares compensation take ${gigabytes(peak)} GB for this model; ${gigabytes(allowed)} GB are allowed, half of this machine's memory. Choose the compensation "mean"`,
    { bytes: peak, allowed },
  )
}

/** Of the machine, or what the container is limited to. */
export function usableMemoryBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1)
}
