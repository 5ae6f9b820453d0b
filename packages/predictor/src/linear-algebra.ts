/** Dense symmetric systems, row-major Float64Array of n * n; only the lower triangle is read or written. */

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

/** L with A = L L^T; null when A is not positive definite. */
export function choleskyFactor(matrix: Float64Array, n: number): Float64Array | null {
  const factor = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const rest = (matrix[i * n + j] ?? 0) - dot(factor, i * n, factor, j * n, j)
      if (i > j) {
        factor[i * n + j] = rest / (factor[j * n + j] ?? 0)
      } else {
        if (!(rest > 0)) return null
        factor[i * n + i] = Math.sqrt(rest)
      }
    }
  }
  return factor
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

/** L^-1, lower triangular. */
export function invertLower(factor: Float64Array, n: number): Float64Array {
  const inverse = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    const scale = 1 / (factor[i * n + i] ?? 0)
    for (let k = 0; k < i; k++) {
      const weight = -(factor[i * n + k] ?? 0) * scale
      if (weight === 0) continue
      for (let j = 0; j <= k; j++) inverse[i * n + j] = (inverse[i * n + j] ?? 0) + weight * (inverse[k * n + j] ?? 0)
    }
    inverse[i * n + i] = scale
  }
  return inverse
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
