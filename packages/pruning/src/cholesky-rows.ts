/**
 * Cholesky factorisation that carries right-hand sides along as more rows, and the solves that end it.
 *
 * With A = L L^T (n x n, positive definite) and right-hand sides B (m x n), the recurrence of row i of L,
 *   L[i][j] = (A[i][j] - sum_{t<j} L[i][t] L[j][t]) / L[j][j],
 * applied to the rows of B gives Y = B L^-T. The leading k x k block of L is the factor of the leading block of A, and
 * the first k columns of Y belong to it: X A[:k,:k] = B[:, :k] is X = Y[:, :k] L[:k,:k]^-1 for every k, from one
 * factorisation (Golub and Van Loan, Matrix Computations, 4.2). With M = L^-1 in place of L, X grows with k by one
 * column of Y times one row of M, so a solution near a known one costs little.
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
 * Puts M = L^-1 in the place of L. By rows: M[i][j] = -(sum_{j<=t<i} L[i][t] M[t][j]) / L[i][i], M[i][i] = 1 / L[i][i].
 * The leading k x k block of M is the inverse of the leading block of L.
 */
export function invertFactor(values: Float64Array, n: number): void {
  const row = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    const start = packedLength(i)
    row.fill(0, 0, i)
    addScaledRows(values, values, start, row, 0, i)
    const diagonal = values[start + i] as number
    for (let j = 0; j < i; j++) values[start + j] = -(row[j] as number) / diagonal
    values[start + i] = 1 / diagonal
  }
}

/**
 * Carries X_k = Y[:, :k] M[:k, :k], [extra, k], on from k = `from` to k = `to`: X_k is the sum over i < k of column i of
 * Y times row i of M. The terms are added in groups of `solveStep`, so multiples of it as `from` leave no trace in the
 * result, to the last bit.
 *
 * @param solved X of `from` columns, [extra, stride]; overwritten with that of `to`
 */
export function extendSolution(
  values: Float64Array,
  n: number,
  solved: Float64Array,
  stride: number,
  from: number,
  to: number,
): void {
  const extra = solved.length / stride
  for (let row = 0; row < extra; row++) {
    const target = solved.subarray(row * stride, (row + 1) * stride)
    addScaledRows(values, values, rowStart(n + row, n), target, from, to)
  }
}

/** Terms added at once; what a solution is carried on from is a multiple of it. */
export const solveStep = 4

/** target += sum over i from `from` to before `to` of factors[at + i] times packed row i of `rows`, `solveStep` rows at a time. */
function addScaledRows(
  rows: Float64Array,
  factors: Float64Array,
  at: number,
  target: Float64Array,
  from: number,
  to: number,
): void {
  let i = from
  for (; i + solveStep <= to; i += solveStep) {
    const [a, b, c, d] = [packedLength(i), packedLength(i + 1), packedLength(i + 2), packedLength(i + 3)]
    const x = factors[at + i] as number
    const y = factors[at + i + 1] as number
    const z = factors[at + i + 2] as number
    const w = factors[at + i + 3] as number
    for (let j = 0; j <= i; j++) {
      const sum =
        x * (rows[a + j] as number) +
        y * (rows[b + j] as number) +
        z * (rows[c + j] as number) +
        w * (rows[d + j] as number)
      target[j] = (target[j] as number) + sum
    }
    target[i + 1] = y * (rows[b + i + 1] as number) + z * (rows[c + i + 1] as number) + w * (rows[d + i + 1] as number)
    target[i + 2] = z * (rows[c + i + 2] as number) + w * (rows[d + i + 2] as number)
    target[i + 3] = w * (rows[d + i + 3] as number)
  }
  for (; i < to; i++) {
    const a = packedLength(i)
    const x = factors[at + i] as number
    for (let j = 0; j <= i; j++) target[j] = (target[j] as number) + x * (rows[a + j] as number)
  }
}
