/** Dense symmetric systems, row-major Float64Array of n * n; only the lower triangle is read or written. */
import { dotTile } from '@espalier/pruning'

/** sum_k a[aStart + k] * b[bStart + k], k < length; four partial sums, so that additions need not wait for each other. */
function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0]
  let k = 0
  for (; k + 3 < length; k += 4) {
    sum0 += (a[aStart + k] ?? 0) * (b[bStart + k] ?? 0)
    sum1 += (a[aStart + k + 1] ?? 0) * (b[bStart + k + 1] ?? 0)
    sum2 += (a[aStart + k + 2] ?? 0) * (b[bStart + k + 2] ?? 0)
    sum3 += (a[aStart + k + 3] ?? 0) * (b[bStart + k + 3] ?? 0)
  }
  for (; k < length; k++) sum0 += (a[aStart + k] ?? 0) * (b[bStart + k] ?? 0)
  return sum0 + sum1 + (sum2 + sum3)
}

/** Rows and columns of the factor that are worked out together: each number read serves two or four times. */
const TILE_ROWS = 4
const TILE_COLUMNS = 2

/** L with A = L L^T, four rows at a time; null when A is not positive definite. */
export function choleskyFactor(matrix: Float64Array, n: number): Float64Array | null {
  const factor = new Float64Array(n * n)
  const tiled = n - (n % TILE_ROWS)
  for (let first = 0; first < n; first += TILE_ROWS) {
    const tileEnd = first < tiled ? first : 0
    for (let column = 0; column < tileEnd; column += TILE_COLUMNS) factorTile(matrix, factor, n, first, column)
    for (let row = first; row < Math.min(n, first + TILE_ROWS); row++) {
      if (!factorRow(matrix, factor, n, row, tileEnd)) return null
    }
  }
  return factor
}

/** The entries of row `row` from column `from` on; false when the diagonal has no root. */
function factorRow(matrix: Float64Array, factor: Float64Array, n: number, row: number, from: number): boolean {
  for (let j = from; j < row; j++) {
    const rest = (matrix[row * n + j] as number) - dot(factor, row * n, factor, j * n, j)
    factor[row * n + j] = rest / (factor[j * n + j] as number)
  }
  const rest = (matrix[row * n + row] as number) - dot(factor, row * n, factor, row * n, row)
  factor[row * n + row] = Math.sqrt(rest)
  return rest > 0
}

/** A tile's dot products: of its first row with both columns, of its second, ... */
const dots = new Float64Array(TILE_ROWS * TILE_COLUMNS)

/** The entries of rows `row` to `row + 3` in columns `column` and `column + 1`, whose own rows are done. */
function factorTile(matrix: Float64Array, factor: Float64Array, n: number, row: number, column: number): void {
  const start = row * n
  dotTile(dots, factor, start, start + n, start + 2 * n, start + 3 * n, factor, column * n, (column + 1) * n, column)
  for (let offset = 0; offset < TILE_ROWS; offset++) {
    const [sum0, sum1] = [dots[2 * offset] as number, dots[2 * offset + 1] as number]
    finishTileRow(matrix, factor, n, start + offset * n, column, sum0, sum1)
  }
}

function finishTileRow(
  matrix: Float64Array,
  factor: Float64Array,
  n: number,
  start: number,
  column: number,
  sum0: number,
  sum1: number,
): void {
  const right = (column + 1) * n + column
  const first = ((matrix[start + column] as number) - sum0) / (factor[column * n + column] as number)
  const rest = (matrix[start + column + 1] as number) - sum1 - first * (factor[right] as number)
  factor[start + column] = first
  factor[start + column + 1] = rest / (factor[right + 1] as number)
}

/** x with L L^T x = b. */
export function solveCholesky(factor: Float64Array, n: number, b: Float64Array): Float64Array {
  const x = Float64Array.from(b)
  for (let i = 0; i < n; i++) x[i] = ((x[i] ?? 0) - dot(factor, i * n, x, 0, i)) / (factor[i * n + i] ?? 0)
  for (let i = n - 1; i >= 0; i--) {
    const value = (x[i] ?? 0) / (factor[i * n + i] ?? 0)
    x[i] = value
    for (let k = 0; k < i; k++) x[k] = (x[k] ?? 0) - (factor[i * n + k] ?? 0) * value
  }
  return x
}

/** Rows of L^-1 that are taken together: the row they are added to is read and written once for all. */
const INVERSE_ROWS = 4

/** L^-1, lower triangular. */
export function invertLower(factor: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    const scale = 1 / (factor[i * n + i] as number)
    const together = i - (i % INVERSE_ROWS)
    for (let k = 0; k < together; k += INVERSE_ROWS) addInverseRows(inverse, factor, n, i, k, scale)
    for (let k = together; k < i; k++) {
      const weight = -(factor[i * n + k] as number) * scale
      for (let j = 0; j <= k; j++) {
        inverse[i * n + j] = (inverse[i * n + j] as number) + weight * (inverse[k * n + j] as number)
      }
    }
    inverse[i * n + i] = scale
  }
  return inverse
}

/** Adds rows `k` to `k + 3` of the inverse, whose entries above the diagonal are zero, to row `i`. */
function addInverseRows(
  inverse: Float64Array,
  factor: Float64Array,
  n: number,
  i: number,
  k: number,
  scale: number,
): void {
  const [into, row0, row1, row2, row3] = [i * n, k * n, (k + 1) * n, (k + 2) * n, (k + 3) * n]
  const weight0 = -(factor[into + k] as number) * scale
  const weight1 = -(factor[into + k + 1] as number) * scale
  const weight2 = -(factor[into + k + 2] as number) * scale
  const weight3 = -(factor[into + k + 3] as number) * scale
  for (let j = 0; j < k + INVERSE_ROWS; j++) {
    const first = (inverse[into + j] as number) + weight0 * (inverse[row0 + j] as number)
    const second = first + weight1 * (inverse[row1 + j] as number)
    inverse[into + j] = second + weight2 * (inverse[row2 + j] as number) + weight3 * (inverse[row3 + j] as number)
  }
}

/** Rows that `addGram` takes at a time; its matrix of rows is padded to a multiple with rows of zeros. */
export const GRAM_ROWS = 4

/**
 * Adds A^T A to the lower triangle of `matrix`; A is row-major [rows, n], rows a multiple of `GRAM_ROWS`. Several rows
 * at a time, because it is `matrix` that does not fit the cache.
 */
export function addGram(matrix: Float64Array, a: Float64Array, n: number): void {
  for (let start = 0; start < a.length; start += GRAM_ROWS * n) {
    const [at1, at2, at3] = [start + n, start + 2 * n, start + 3 * n]
    for (let i = 0; i < n; i++) {
      const x0 = a[start + i] ?? 0
      const x1 = a[at1 + i] ?? 0
      const x2 = a[at2 + i] ?? 0
      const x3 = a[at3 + i] ?? 0
      if (x0 === 0 && x1 === 0 && x2 === 0 && x3 === 0) continue
      const out = i * n
      for (let j = 0; j <= i; j++) {
        const first = x0 * (a[start + j] ?? 0) + x1 * (a[at1 + j] ?? 0)
        const second = x2 * (a[at2 + j] ?? 0) + x3 * (a[at3 + j] ?? 0)
        matrix[out + j] = (matrix[out + j] ?? 0) + (first + second)
      }
    }
  }
}
