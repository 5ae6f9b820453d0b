/**
 * What the Gram matrices of least-squares compensation take, and how they are recorded within a limit of memory.
 *
 * Rows of a matrix exist twice while they are recorded: as a run of the graph gives them (up to the last row's column)
 * and as the packed sum over all runs. Where not all rows of all modules fit, they are recorded in several passes over
 * the calibration text, each with as many rows as fit, and lie in a file.
 */
import { totalmem } from 'node:os'
import { EspalierError, type ModelShape } from '@espalier/contracts'
import type { GramBlock } from '@espalier/model-graph'
import { packedLength } from '@espalier/pruning'

/** Share of the memory that Gram matrices may take while they are recorded. */
const gramShare = 0.5
const numberBytes = Float64Array.BYTES_PER_ELEMENT

export type ModuleWidths = Pick<ModelShape, 'layers' | 'queryHeads' | 'headDim' | 'ffnChannels'>

/** Input channels of every module's output matrix, in module order. */
export function moduleWidthsOf({ layers, queryHeads, headDim, ffnChannels }: ModuleWidths): number[] {
  return Array.from({ length: 2 * layers }, (_, module) => (module % 2 === 0 ? queryHeads * headDim : ffnChannels))
}

/** Bytes of a model's Gram matrices: as they are kept, and at the peak of recording all at once. */
export function gramBytesOf(shape: ModuleWidths): { readonly kept: number; readonly peak: number } {
  const blocks = moduleWidthsOf(shape).map((width, module) => ({ module, firstRow: 0, endRow: width }))
  const kept = blocks.reduce((sum, { endRow }) => sum + numberBytes * packedLength(endRow), 0)
  return { kept, peak: blocks.reduce((sum, block) => sum + blockBytes(block), 0) }
}

/** What least-squares compensation takes before it runs. */
export interface FitMemory {
  /** Gram matrices of all modules, packed. */
  readonly gramBytes: number
  /** Memory that they may take; what exceeds it lies in files. */
  readonly memoryBytes: number
  /** Passes over the calibration text. */
  readonly passes: number
  /** The largest module's matrix, which is in memory while the module is factored. */
  readonly moduleBytes: number
  /** Factorisations of all modules in the order of a metric. */
  readonly factorBytes: number
}

/** @throws EspalierError CALIBRATION_TOO_LARGE */
export function planFitMemory(
  shape: ModuleWidths & Pick<ModelShape, 'hiddenSize'>,
  memoryBytes: number = gramBytesInMemory(),
): FitMemory {
  const widths = moduleWidthsOf(shape)
  return {
    gramBytes: gramBytesOf(shape).kept,
    memoryBytes,
    passes: planGramPasses(shape, memoryBytes).length,
    moduleBytes: numberBytes * packedLength(Math.max(...widths)),
    factorBytes: widths.reduce((sum, width) => sum + numberBytes * (packedLength(width) + shape.hiddenSize * width), 0),
  }
}

/**
 * Which rows each pass over the calibration text records, so that none takes more than `memoryBytes`.
 * @throws EspalierError CALIBRATION_TOO_LARGE when the memory does not hold even one row
 */
export function planGramPasses(shape: ModuleWidths, memoryBytes: number): GramBlock[][] {
  const passes: GramBlock[][] = []
  let free = 0
  const open = () => {
    passes.push([])
    free = memoryBytes
  }
  for (const [module, width] of moduleWidthsOf(shape).entries()) {
    for (let firstRow = 0; firstRow < width; ) {
      const whole = { module, firstRow, endRow: width }
      // A module is cut only where it does not fit into a pass of its own.
      if (passes.length === 0 || (blockBytes(whole) > free && free < memoryBytes)) open()
      const endRow = blockBytes(whole) <= free ? width : lastRowWithin(module, firstRow, width, free)
      if (endRow === firstRow) throw tooLarge(blockBytes({ module, firstRow, endRow: firstRow + 1 }), memoryBytes)
      const block = { module, firstRow, endRow }
      passes.at(-1)?.push(block)
      free -= blockBytes(block)
      firstRow = endRow
    }
  }
  return passes
}

/** The largest end for which the rows fit; bytes grow with it. */
function lastRowWithin(module: number, firstRow: number, width: number, free: number): number {
  let [fits, over] = [firstRow, width + 1]
  while (over - fits > 1) {
    const endRow = (fits + over) >> 1
    if (blockBytes({ module, firstRow, endRow }) <= free) fits = endRow
    else over = endRow
  }
  return fits
}

/** Bytes of some rows while they are recorded: what a run gives, and the packed sum. */
function blockBytes({ firstRow, endRow }: GramBlock): number {
  return numberBytes * ((endRow - firstRow) * endRow + packedLength(endRow) - packedLength(firstRow))
}

/** @throws EspalierError CALIBRATION_TOO_LARGE */
export function checkGramDisk(shape: ModuleWidths, directory: string, freeBytes: number): void {
  const { kept } = gramBytesOf(shape)
  if (kept <= freeBytes) return
  throw new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `The Gram matrices of least-squares compensation take ${gigabytes(kept)} GB for this model, more than memory may hold; ${gigabytes(freeBytes)} GB are free in ${directory}. Choose the compensation "mean"`,
    { bytes: kept, allowed: freeBytes, directory },
  )
}

function tooLarge(bytes: number, allowed: number): EspalierError {
  return new EspalierError(
    'CALIBRATION_TOO_LARGE',
    `One row of a Gram matrix takes ${bytes} bytes while it is recorded; ${allowed} are allowed`,
    { bytes, allowed },
  )
}

/** What Gram matrices may take of this machine. */
export function gramBytesInMemory(): number {
  return Math.floor(usableMemoryBytes() * gramShare)
}

/** Of the machine, or what the container is limited to. */
export function usableMemoryBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1)
}
