/**
 * The factorisation of `cholesky-rows.ts` where the rows do not fit into memory: they lie in a storage, and a few panels
 * of neighbouring rows are at hand. Panels start at multiples of the block of columns, so that each number is made by
 * the same operations in the same order: the result is that of the factorisation in memory, to the last bit.
 */
import {
  addScaledRows,
  blockColumns,
  factorColumns,
  invertOwnRows,
  packedLength,
  type Rows,
  rowStart,
} from './cholesky-rows.js'

/** Rows of a packed triangle of n followed by full rows, wherever they lie. */
export interface RowStorage {
  /** Rows `first` to before `end`, as an array of their own. */
  read(first: number, end: number): Promise<Float64Array>
  write(first: number, values: Float64Array): Promise<void>
}

/** Panels at hand at a time. */
const panelsInMemory = 3

/** Cuts rows [0, n + extra) into panels of at most a third of `memoryBytes`, or of one block where that is more. */
export function cutPanels(n: number, extra: number, memoryBytes: number): { first: number; end: number }[] {
  const most = memoryBytes / panelsInMemory / Float64Array.BYTES_PER_ELEMENT
  const panels: { first: number; end: number }[] = []
  for (let first = 0; first < n + extra; ) {
    const limit = first < n ? n : n + extra
    let end = Math.min(limit, first + blockColumns)
    while (end < limit && rowStart(Math.min(limit, end + blockColumns), n) - rowStart(first, n) <= most) {
      end = Math.min(limit, end + blockColumns)
    }
    panels.push({ first, end })
    first = end
  }
  return panels
}

/** `factorRows`, then `invertFactor`, on rows in a storage. */
export async function factorPanels(
  storage: RowStorage,
  n: number,
  extra: number,
  memoryBytes: number,
  checkAborted: () => void,
): Promise<void> {
  const panels = cutPanels(n, extra, memoryBytes)
  const load = async ({ first, end }: { first: number; end: number }): Promise<Rows> => {
    checkAborted()
    return { values: await storage.read(first, end), first, end }
  }
  const triangle = panels.filter(({ first }) => first < n)
  for (const panel of panels) {
    const rows = await load(panel)
    for (const before of triangle) {
      if (before.first >= panel.first) break
      factorColumns(rows, await load(before), n, before.first, before.end)
    }
    if (panel.first < n) factorColumns(rows, rows, n, panel.first, panel.end)
    await storage.write(panel.first, rows.values)
  }
  for (const panel of triangle) {
    const rows = await load(panel)
    const sums = new Float64Array(rows.values.length)
    for (const before of triangle) {
      if (before.first >= panel.first) break
      const upper = await load(before)
      for (let i = panel.first; i < panel.end; i++) {
        const start = packedLength(i) - packedLength(panel.first)
        const row = rows.values.subarray(start, start + i)
        addScaledRows(upper, n, row, sums.subarray(start, start + i), before.first, before.end)
      }
    }
    invertOwnRows(rows, n, sums)
    await storage.write(panel.first, rows.values)
  }
}

/**
 * Carries X_k = Y[:, :k] M[:k, :k] on from k = `from`, a multiple of `solveStep`, to k = `to`.
 * @param solved [extra, to]; the first `from` columns are those of X_from, the rest zeros
 */
export async function extendFromPanels(
  storage: RowStorage,
  n: number,
  extra: number,
  solved: Float64Array,
  from: number,
  to: number,
  memoryBytes: number,
): Promise<void> {
  const panels = cutPanels(n, extra, memoryBytes)
  for (const { first, end } of panels.filter((panel) => panel.first >= n)) {
    const factors = await storage.read(first, end)
    for (const panel of panels) {
      if (panel.first >= to || panel.first >= n) break
      if (panel.end <= from) continue
      const rows: Rows = { values: await storage.read(panel.first, panel.end), first: panel.first, end: panel.end }
      const [start, stop] = [Math.max(from, panel.first), Math.min(to, panel.end)]
      for (let row = first; row < end; row++) {
        const target = solved.subarray((row - n) * to, (row - n + 1) * to)
        addScaledRows(rows, n, factors.subarray((row - first) * n, (row - first + 1) * n), target, start, stop)
      }
    }
  }
}
