import { addGram, choleskyFactor, GRAM_ROWS, invertLower, solveCholesky } from './linear-algebra.js'

/** y = intercept + weights . x */
export interface RidgeFit {
  readonly weights: Float64Array
  readonly intercept: number
}

/** Penalties tried, in units of one standardised feature's sum of squares over an evaluation. */
const PENALTIES = [1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100]

interface Standardised {
  /** (x - mean) / deviation, row-major [rows padded to GRAM_ROWS, n]. */
  readonly rows: Float64Array
  readonly means: Float64Array
  readonly deviations: Float64Array
}

/**
 * Least squares with a penalty on the weights of standardised features; of a few penalties the one with the least
 * leave-one-out error, which needs no refits: e_i / (1 - h_i), h = 1/N + diag(X (X^T X + penalty I)^-1 X^T)
 * (Allen 1974, PRESS). A feature that does not vary gets no weight.
 */
export function fitRidge(features: readonly (readonly number[])[], targets: readonly number[]): RidgeFit {
  const n = features[0]?.length ?? 0
  const { rows, means, deviations } = standardise(features, n)
  const meanTarget = targets.reduce((sum, y) => sum + y, 0) / targets.length
  const centred = targets.map((y) => y - meanTarget)
  const gram = new Float64Array(n * n)
  addGram(gram, rows, n)
  const moment = new Float64Array(n)
  centred.forEach((y, i) => {
    for (let j = 0; j < n; j++) moment[j] = (moment[j] ?? 0) + y * (rows[i * n + j] ?? 0)
  })
  let best: { error: number; weights: Float64Array } = { error: Number.POSITIVE_INFINITY, weights: new Float64Array(n) }
  for (const penalty of PENALTIES) {
    const trial = fitPenalty(rows, centred, gram, moment, penalty)
    if (trial !== null && trial.error < best.error) best = trial
  }
  const weights = best.weights.map((weight, j) => weight / (deviations[j] ?? 1))
  return { weights, intercept: meanTarget - weights.reduce((sum, weight, j) => sum + weight * (means[j] ?? 0), 0) }
}

function standardise(features: readonly (readonly number[])[], n: number): Standardised {
  const count = features.length
  const means = new Float64Array(n)
  const deviations = new Float64Array(n).fill(1)
  const rows = new Float64Array(Math.ceil(count / GRAM_ROWS) * GRAM_ROWS * n)
  for (let j = 0; j < n; j++) {
    const column = features.map((row) => row[j] ?? 0)
    const mean = column.reduce((sum, x) => sum + x, 0) / count
    const deviation = Math.sqrt(column.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count)
    means[j] = mean
    if (deviation > 1e-9) deviations[j] = deviation
    column.forEach((x, i) => {
      rows[i * n + j] = (x - mean) / (deviations[j] ?? 1)
    })
  }
  return { rows, means, deviations }
}

function fitPenalty(
  rows: Float64Array,
  targets: readonly number[],
  gram: Float64Array,
  moment: Float64Array,
  penalty: number,
) {
  const n = moment.length
  const system = Float64Array.from(gram)
  for (let j = 0; j < n; j++) system[j * n + j] = (system[j * n + j] ?? 0) + penalty
  const factor = choleskyFactor(system, n)
  if (factor === null) return null
  const weights = solveCholesky(factor, n, moment)
  const inverse = invertLower(factor, n)
  const error = targets.reduce((sum, target, i) => {
    const row = rows.subarray(i * n, (i + 1) * n)
    const residual = target - row.reduce((total, x, j) => total + x * (weights[j] ?? 0), 0)
    const leverage = 1 / targets.length + squaredNorm(inverse, row)
    return sum + (residual / Math.max(1 - leverage, 1e-3)) ** 2
  }, 0)
  return { error, weights }
}

/** |L^-1 x|^2 */
function squaredNorm(inverse: Float64Array, x: Float64Array): number {
  const n = x.length
  let sum = 0
  for (let i = 0; i < n; i++) {
    let value = 0
    for (let j = 0; j <= i; j++) value += (inverse[i * n + j] ?? 0) * (x[j] ?? 0)
    sum += value ** 2
  }
  return sum
}
