/** Dense symmetric systems, row-major Float64Array of n * n; only the lower triangle is read or written. */

/** sum_k a[aStart + k] * b[bStart + k], k < length. */
export function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, length: number): number {
  let sum = 0
  for (let k = 0; k < length; k++) sum += (a[aStart + k] ?? 0) * (b[bStart + k] ?? 0)
  return sum
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
