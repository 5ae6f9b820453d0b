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
export const blockColumns = 32

/** Length of the packed rows of an n x n lower triangle. */
export function packedLength(n: number): number {
  return (n * (n + 1)) / 2
}

/** Where packed row `row` starts, for a triangle of `n` rows followed by full rows of `n`. */
export function rowStart(row: number, n: number): number {
  return row <= n ? packedLength(row) : packedLength(n) + (row - n) * n
}

/** Rows `first` to before `end` of such a matrix, in an array of their own or as the whole of it. */
export interface Rows {
  readonly values: Float64Array
  readonly first: number
  readonly end: number
}

/** Factors in place: on return the first n rows hold L, the `extra` rows Y. Positive definiteness is the caller's. */
export function factorRows(values: Float64Array, n: number, extra: number): void {
  const all = { values, first: 0, end: n + extra }
  factorColumns(all, all, n, 0, n)
}

/**
 * The recurrence for columns [from, to) of some rows, whose columns before `from` are done. `upper` holds the rows of L
 * with these numbers; when they are the same rows, they are made here.
 */
export function factorColumns(rows: Rows, upper: Rows, n: number, from: number, to: number): void {
  for (let first = from; first < to; first += blockColumns) {
    const end = Math.min(to, first + blockColumns)
    const own = rows === upper ? end : rows.first
    for (let row = Math.max(first, rows.first); row < own; row++) {
      for (let column = first; column <= row; column++) subtractDot(rows, upper, n, row, column, 0, first)
    }
    subtractBelow(rows, upper, n, Math.max(own, rows.first), first, end)
    for (let row = Math.max(first, rows.first); row < rows.end; row++) {
      finishRow(rows, upper, n, row, first, Math.min(end, row + 1))
    }
  }
}

/** Where a row starts in the array that holds it. */
function startIn({ first }: Rows, row: number, n: number): number {
  return rowStart(row, n) - rowStart(first, n)
}

/** Takes from the entries [below, rows.end) x [first, end) what the columns before `first` give, 4 x 2 at a time. */
function subtractBelow(rows: Rows, upper: Rows, n: number, below: number, first: number, end: number): void {
  let row = below
  for (; row + 4 <= rows.end; row += 4) {
    let column = first
    for (; column + 2 <= end; column += 2) subtractTile(rows, upper, n, row, column, first)
    for (; column < end; column++) {
      for (let i = 0; i < 4; i++) subtractDot(rows, upper, n, row + i, column, 0, first)
    }
  }
  for (; row < rows.end; row++) {
    for (let column = first; column < end; column++) subtractDot(rows, upper, n, row, column, 0, first)
  }
}

/** A tile's dot products: of its first row with both columns, of its second, ... */
const dots = new Float64Array(8)

function subtractTile(rows: Rows, upper: Rows, n: number, row: number, column: number, length: number): void {
  const { values } = rows
  const a = startIn(rows, row, n)
  const b = startIn(rows, row + 1, n)
  const c = startIn(rows, row + 2, n)
  const d = startIn(rows, row + 3, n)
  dotTile(dots, values, a, b, c, d, upper.values, startIn(upper, column, n), startIn(upper, column + 1, n), length)
  subtractAt(values, a + column, dots[0] as number, dots[1] as number)
  subtractAt(values, b + column, dots[2] as number, dots[3] as number)
  subtractAt(values, c + column, dots[4] as number, dots[5] as number)
  subtractAt(values, d + column, dots[6] as number, dots[7] as number)
}

/**
 * Eight dot products of `length` at once, of the four rows that start at a to d with the two that start at `left` and
 * `right` of the other array: each number read serves twice or four times.
 */
export function dotTile(
  into: Float64Array,
  values: Float64Array,
  a: number,
  b: number,
  c: number,
  d: number,
  other: Float64Array,
  left: number,
  right: number,
  length: number,
): void {
  let [a0, a1, b0, b1, c0, c1, d0, d1] = [0, 0, 0, 0, 0, 0, 0, 0]
  for (let t = 0; t < length; t++) {
    const x = other[left + t] as number
    const y = other[right + t] as number
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
  into[0] = a0
  into[1] = a1
  into[2] = b0
  into[3] = b1
  into[4] = c0
  into[5] = c1
  into[6] = d0
  into[7] = d1
}

function subtractAt(values: Float64Array, at: number, first: number, second: number): void {
  values[at] = (values[at] as number) - first
  values[at + 1] = (values[at + 1] as number) - second
}

function subtractDot(rows: Rows, upper: Rows, n: number, row: number, column: number, from: number, to: number): void {
  const { values } = rows
  const other = upper.values
  const a = startIn(rows, row, n)
  const b = startIn(upper, column, n)
  let sum = 0
  for (let t = from; t < to; t++) sum += (values[a + t] as number) * (other[b + t] as number)
  values[a + column] = (values[a + column] as number) - sum
}

/** The recurrence inside one block of columns. */
function finishRow(rows: Rows, upper: Rows, n: number, row: number, first: number, end: number): void {
  const { values } = rows
  const start = startIn(rows, row, n)
  for (let column = first; column < end; column++) {
    subtractDot(rows, upper, n, row, column, first, column)
    const entry = values[start + column] as number
    values[start + column] =
      column === row ? Math.sqrt(entry) : entry / (upper.values[startIn(upper, column, n) + column] as number)
  }
}

/**
 * Puts M = L^-1 in the place of L. By rows: M[i][j] = -(sum_{j<=t<i} L[i][t] M[t][j]) / L[i][i], M[i][i] = 1 / L[i][i].
 * The leading k x k block of M is the inverse of the leading block of L.
 */
export function invertFactor(values: Float64Array, n: number): void {
  invertOwnRows({ values, first: 0, end: n }, n, new Float64Array(values.length === 0 ? 0 : packedLength(n)))
}

/**
 * The recurrence of `invertFactor` for some rows, which on return hold M in place of L.
 * @param sums as long as the rows; what the rows of M before them give already
 */
export function invertOwnRows(rows: Rows, n: number, sums: Float64Array): void {
  const { values, first, end } = rows
  for (let i = first; i < end; i++) {
    const start = startIn(rows, i, n)
    const sum = sums.subarray(start, start + i)
    addScaledRows(rows, n, values.subarray(start, start + i), sum, first, i)
    const diagonal = values[start + i] as number
    for (let j = 0; j < i; j++) values[start + j] = -(sum[j] as number) / diagonal
    values[start + i] = 1 / diagonal
  }
}

/** Terms added at once; what a solution is carried on from is a multiple of it. */
export const solveStep = 4

/**
 * target[j] += sum over i in [from, to) of factors[i] times row i of M in column j, `solveStep` rows at a time: where a
 * sum is cut at multiples of it, the result is the same to the last bit. X_k = Y[:, :k] M[:k, :k] row by row is such a
 * sum over i < k, so X_k is carried on from a smaller k by the rows of M between.
 */
export function addScaledRows(
  rows: Rows,
  n: number,
  factors: Float64Array,
  target: Float64Array,
  from: number,
  to: number,
): void {
  const { values } = rows
  let i = from
  for (; i + solveStep <= to; i += solveStep) {
    const a = startIn(rows, i, n)
    const [b, c, d] = [a + i + 1, a + 2 * i + 3, a + 3 * i + 6]
    const x = factors[i] as number
    const y = factors[i + 1] as number
    const z = factors[i + 2] as number
    const w = factors[i + 3] as number
    for (let j = 0; j <= i; j++) {
      const sum =
        x * (values[a + j] as number) +
        y * (values[b + j] as number) +
        z * (values[c + j] as number) +
        w * (values[d + j] as number)
      target[j] = (target[j] as number) + sum
    }
    // Above the diagonal M has zeros, and nothing was added to these columns before.
    target[i + 1] =
      y * (values[b + i + 1] as number) + z * (values[c + i + 1] as number) + w * (values[d + i + 1] as number)
    target[i + 2] = z * (values[c + i + 2] as number) + w * (values[d + i + 2] as number)
    target[i + 3] = w * (values[d + i + 3] as number)
  }
  for (; i < to; i++) {
    const a = startIn(rows, i, n)
    const x = factors[i] as number
    for (let j = 0; j <= i; j++) target[j] = (target[j] as number) + x * (values[a + j] as number)
  }
}
