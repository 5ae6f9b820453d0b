import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { GramBlock } from '@espalier/model-graph'
import { packedLength } from '@espalier/pruning'
import type { Float64Source } from '@espalier/tensor-files'
import { createSharedFloat64 } from './calibration-file.js'
import { checkGramDisk, type ModuleWidths, moduleWidthsOf, planGramPasses } from './gram-memory.js'

/** Sums the Gram matrices of a model pass by pass, in memory or in a file of its own. */
export interface GramRecorder {
  /** What each pass over the text records; one pass without any where no Gram matrix is wanted. */
  readonly passes: readonly (readonly GramBlock[])[]
  /** Call before the first run of each pass, and again where the pass starts anew: forgets what it has added. */
  startPass(): void
  /** Adds what a run of the graph gave: [rows, columns up to the last row]. */
  add(block: GramBlock, values: Float64Array): void
  /** Call at the end of each pass. */
  endPass(): Promise<void>
  /** In module order; null without Gram matrices. */
  readonly grams: readonly (Float64Source | null)[]
  readonly scratchFile: string | null
  /** Removes the file of a recording that failed. */
  discard(): Promise<void>
}

/** @throws EspalierError CALIBRATION_TOO_LARGE */
export async function createGramRecorder(
  shape: ModuleWidths,
  { wanted, memoryBytes, directory }: { wanted: boolean; memoryBytes: number; directory: string },
): Promise<GramRecorder> {
  const widths = moduleWidthsOf(shape)
  if (!wanted) {
    const nothing = async () => undefined
    return {
      passes: [[]],
      startPass: () => undefined,
      add: () => undefined,
      endPass: nothing,
      grams: widths.map(() => null),
      scratchFile: null,
      discard: nothing,
    }
  }
  const passes = planGramPasses(shape, memoryBytes)
  return passes.length === 1 ? recordInMemory(widths, passes) : recordInFile(shape, widths, passes, directory)
}

function recordInMemory(widths: readonly number[], passes: readonly (readonly GramBlock[])[]): GramRecorder {
  const grams = widths.map((width) => createSharedFloat64(packedLength(width)))
  return {
    passes,
    grams,
    scratchFile: null,
    startPass: () => {
      for (const gram of grams) gram.fill(0)
    },
    add: ({ module, firstRow, endRow }, values) => {
      const total = grams[module]?.subarray(packedLength(firstRow), packedLength(endRow))
      if (total) addLowerTriangle(total, values, firstRow, endRow)
    },
    endPass: async () => undefined,
    discard: async () => undefined,
  }
}

async function recordInFile(
  shape: ModuleWidths,
  widths: readonly number[],
  passes: readonly (readonly GramBlock[])[],
  directory: string,
): Promise<GramRecorder> {
  const { bavail, bsize } = await statfs(directory)
  checkGramDisk(shape, directory, bavail * bsize)
  const path = join(directory, `espalier-gram-${randomUUID()}.f64`)
  const starts: number[] = []
  widths.reduce((start, width) => {
    starts.push(start)
    return start + packedLength(width) * Float64Array.BYTES_PER_ELEMENT
  }, 0)
  const file = await open(path, 'wx')
  let done = 0
  const totals = new Map<GramBlock, Float64Array>()
  return {
    passes,
    grams: widths.map((width, module) => ({ path, offset: starts[module] ?? 0, length: packedLength(width) })),
    scratchFile: path,
    startPass: () => totals.clear(),
    add: (block, values) => {
      const { firstRow, endRow } = block
      const total = totals.get(block) ?? new Float64Array(packedLength(endRow) - packedLength(firstRow))
      totals.set(block, total)
      addLowerTriangle(total, values, firstRow, endRow)
    },
    endPass: async () => {
      for (const [{ module, firstRow }, total] of totals) {
        const start = (starts[module] ?? 0) + packedLength(firstRow) * Float64Array.BYTES_PER_ELEMENT
        await writeAt(file, new Uint8Array(total.buffer), start)
      }
      totals.clear()
      if (++done === passes.length) await file.close()
    },
    discard: async () => {
      if (done < passes.length) await file.close()
      await rm(path, { force: true })
    },
  }
}

/** Writes all of it, however little the system takes at a time. */
async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  const most = 2 ** 28
  for (let done = 0; done < bytes.byteLength; ) {
    const length = Math.min(most, bytes.byteLength - done)
    done += (await file.write(bytes, done, length, position + done)).bytesWritten
  }
}

/** Adds rows of a symmetric matrix, each up to the diagonal, to packed ones. */
function addLowerTriangle(total: Float64Array, rows: Float64Array, firstRow: number, endRow: number): void {
  for (let row = firstRow, at = 0; row < endRow; row++) {
    const start = (row - firstRow) * endRow
    for (let column = 0; column <= row; column++, at++) {
      total[at] = (total[at] as number) + (rows[start + column] as number)
    }
  }
}
