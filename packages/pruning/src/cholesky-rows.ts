/**
 * Cholesky factorisation that carries right-hand sides along as more rows, and the solve that ends it.
 *
 * With A = L L^T (n x n, positive definite) and right-hand sides B (m x n), the recurrence of row i of L,
 *   L[i][j] = (A[i][j] - sum_{t<j} L[i][t] L[j][t]) / L[j][j],
 * applied to the rows of B gives Y = B L^-T. The leading k x k block of L is the factor of the leading block of A, and
 * the first k columns of Y belong to it: X A[:k,:k] = B[:, :k] is X = Y[:, :k] L[:k,:k]^-1 for every k, from one
 * factorisation (Golub and Van Loan, Matrix Computations, 4.2).
 *
 * Rows lie side by side: row i < n of the lower triangle has i + 1 numbers, the m rows after it n each.
 */

/** Columns worked on together. A block of rows then stays in the second-level cache up to some thousand columns. */
const blockColumns = 32

/** Length of the packed rows of an n x n lower triangle. */
export function packedLength(n: number): number {
  return (n * (n + 1)) / 2
}

/** Where packed row `row` starts, for a triangle of `n` rows followed by full rows of `n`. */
export function rowStart(row: number, n: number): number {
  return row <= n ? packedLength(row) : packedLength(n) + (row - n) * n
}

/** Factors in place: on return the first n rows hold L, the `extra` rows Y. Positive definiteness is the caller's. */
export function factorRows(values: Float64Array, n: number, extra: number): void {
  for (let first = 0; first < n; first += blockColumns) {
    const end = Math.min(n, first + blockColumns)
    for (let row = first; row < end; row++) {
      for (let column = first; column <= row; column++) subtractDot(values, n, row, column, 0, first)
    }
    subtractBelow(values, n, n + extra, first, end)
    for (let row = first; row < n + extra; row++) finishRow(values, n, row, first, Math.min(end, row + 1))
  }
}

/** Takes from the entries [end, rows) x [first, end) what the columns before `first` give, 4 x 2 entries at a time. */
function subtractBelow(values: Float64Array, n: number, rows: number, first: number, end: number): void {
  let row = end
  for (; row + 4 <= rows; row += 4) {
    let column = first
    for (; column + 2 <= end; column += 2) subtractTile(values, n, row, column, first)
    for (; column < end; column++) {
      for (let i = 0; i < 4; i++) subtractDot(values, n, row + i, column, 0, first)
    }
  }
  for (; row < rows; row++) {
    for (let column = first; column < end; column++) subtractDot(values, n, row, column, 0, first)
  }
}

/** Eight dot products of `length` at once: each number read serves twice or four times. */
function subtractTile(values: Float64Array, n: number, row: number, column: number, length: number): void {
  const a = rowStart(row, n)
  const b = rowStart(row + 1, n)
  const c = rowStart(row + 2, n)
  const d = rowStart(row + 3, n)
  const left = rowStart(column, n)
  const right = rowStart(column + 1, n)
  let [a0, a1, b0, b1, c0, c1, d0, d1] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let t = 0; t < length; t++) {
    const x = values[left + t] as number
    const y = values[right + t] as number
    const p = values[a + t] as number
    const q = values[b + t] as number
    const r = values[c + t] as number
    const s = values[d + t] as number
    a0 += p * x
    a1 += p * y
    b0 += q * x
    b1 += q * y
    c0 += r * x
    c1 += r * y
    d0 += s * x
    d1 += s * y
  }
  subtractAt(values, a + column, a0, a1)
  subtractAt(values, b + column, b0, b1)
  subtractAt(values, c + column, c0, c1)
  subtractAt(values, d + column, d0, d1)
}

function subtractAt(values: Float64Array, at: number, first: number, second: number): void {
  values[at] = (values[at] as number) - first
  values[at + 1] = (values[at + 1] as number) - second
}

function subtractDot(values: Float64Array, n: number, row: number, column: number, from: number, to: number): void {
  const a = rowStart(row, n)
  const b = rowStart(column, n)
  let sum = 0
  for (let t = from; t < to; t++) sum += (values[a + t] as number) * (values[b + t] as number)
  values[a + column] = (values[a + column] as number) - sum
}

/** The recurrence inside one block of columns. */
function finishRow(values: Float64Array, n: number, row: number, first: number, end: number): void {
  const start = rowStart(row, n)
  for (let column = first; column < end; column++) {
    subtractDot(values, n, row, column, first, column)
    const entry = values[start + column] as number
    values[start + column] =
      column === row ? Math.sqrt(entry) : entry / (values[rowStart(column, n) + column] as number)
  }
}

/**
 * X = Y[:, :k] L[:k, :k]^-1 of factored rows, [extra, k] row-major in float64: from the last column to the first,
 * X[:, i] = Y[:, i] / L[i][i], then Y[:, :i] -= X[:, i] L[i][:i].
 */
export function solveRows(values: Float64Array, n: number, extra: number, k: number): Float64Array {
  const solved = new Float64Array(extra * k)
  for (let row = 0; row < extra; row++) {
    const start = rowStart(n + row, n)
    solved.set(values.subarray(start, start + k), row * k)
  }
  for (let end = k; end > 0; end -= blockColumns) {
    const first = Math.max(0, end - blockColumns)
    for (let row = 0; row < extra; row++) {
      const at = row * k
      for (let i = end - 1; i >= first; i--) {
        const lower = rowStart(i, n)
        const x = (solved[at + i] as number) / (values[lower + i] as number)
        solved[at + i] = x
        for (let j = first; j < i; j++) solved[at + j] = (solved[at + j] as number) - x * (values[lower + j] as number)
      }
      eliminate(values, n, solved, at, first, end)
    }
  }
  return solved
}

/** Y[row, :first] -= X[row, first:end] L[first:end, :first], four rows of L at a time. */
function eliminate(
  values: Float64Array,
  n: number,
  solved: Float64Array,
  at: number,
  first: number,
  end: number,
): void {
  let i = first
  for (; i + 4 <= end; i += 4) {
    const a = rowStart(i, n)
    const b = rowStart(i + 1, n)
    const c = rowStart(i + 2, n)
    const d = rowStart(i + 3, n)
    const x = solved[at + i] as number
    const y = solved[at + i + 1] as number
    const z = solved[at + i + 2] as number
    const w = solved[at + i + 3] as number
    for (let j = 0; j < first; j++) {
      const taken =
        x * (values[a + j] as number) +
        y * (values[b + j] as number) +
        z * (values[c + j] as number) +
        w * (values[d + j] as number)
      solved[at + j] = (solved[at + j] as number) - taken
    }
  }
  for (; i < end; i++) {
    const a = rowStart(i, n)
    const x = solved[at + i] as number
    for (let j = 0; j < first; j++) solved[at + j] = (solved[at + j] as number) - x * (values[a + j] as number)
  }
}
