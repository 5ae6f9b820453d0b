/**
 * Least-squares compensation: the kept columns of o_proj or down_proj are fitted anew so that they give what the whole
 * matrix W gave, as far as the kept inputs can tell. With x the inputs over the calibration tokens, C their covariance,
 * m their mean, K the kept channels and r a ridge, W' minimises
 *   E |W (x - m) - W' (x_K - m_K)|^2 + r |W' - W[:, K]|^2,
 * so W' = (W C[:, K] + r W[:, K]) (C[K, K] + r I)^-1, and the bias is W m - W' m_K. The ridge draws W' towards W[:, K]:
 * without correlations, or with few tokens, it is mean compensation. All in float64.
 */
import { extendSolution, factorRows, invertFactor, packedLength, rowStart, solveStep } from './cholesky-rows.js'

/** What is known of one module: x is the input of its output matrix. */
export interface LeastSquaresProblem {
  /** [hidden, inputs] row-major, o_proj or down_proj */
  readonly weight: Float32Array
  readonly hidden: number
  /** Tokens. */
  readonly count: number
  /** [inputs], sum x_j */
  readonly sum: Float64Array
  /** sum x_i x_j for j <= i, packed rows of the lower triangle: inputs (inputs + 1) / 2. */
  readonly gram: Float64Array
}

/** A factorisation that solves for the first k channels of an order, whatever k. */
export interface LeastSquaresFactor {
  /** Channels in the order that they may be kept. */
  readonly order: Int32Array
  readonly hidden: number
  /** The inverse of the Cholesky factor, and the right-hand sides: see `factorRows` and `invertFactor`. */
  readonly rows: Float64Array
}

/**
 * Factors the problem for channels kept in this order (all or some of the inputs, each once). Costs
 * n^3 / 3 + hidden inputs n + hidden n^2 / 2 multiplications for n channels in the order.
 */
export function factorLeastSquares(problem: LeastSquaresProblem, order: Int32Array): LeastSquaresFactor {
  const { hidden } = problem
  const n = order.length
  const covariance = covarianceOf(problem)
  const ridge = ridgeOf(covariance, problem.sum.length, problem.count)
  const rows = new Float64Array(rowStart(n + hidden, n))
  for (let i = 0; i < n; i++) {
    const start = rowStart(i, n)
    for (let j = 0; j <= i; j++) rows[start + j] = entryOf(covariance, order[i] as number, order[j] as number)
    rows[start + i] = (rows[start + i] as number) + ridge
  }
  fillTargets(rows, problem, order, covariance, ridge)
  factorRows(rows, n, hidden)
  invertFactor(rows, n)
  return { order, hidden, rows }
}

/** Solutions of a factor at some numbers of kept channels, from which others are carried on. */
export interface SolutionLevels {
  /** Columns by order, [hidden, level]; undefined: not known. */
  find(level: number): Float64Array | undefined
  set(level: number, solution: Float64Array): void
}

/** Levels of a module: a solution is carried on over at most a 16th of its channels. */
const levelsOfModule = 16

/**
 * The fitted weights of the first `kept` channels of the order, [hidden, kept], columns by rising channel. Costs
 * hidden kept^2 / 2 multiplications, or hidden kept n / 32 on average with its level at hand. Levels change nothing in
 * the result, to the last bit.
 */
export function solveLeastSquares(
  { order, hidden, rows }: LeastSquaresFactor,
  kept: number,
  levels?: SolutionLevels,
): Float32Array {
  const n = order.length
  const step = solveStep * Math.ceil(n / levelsOfModule / solveStep)
  const level = kept - (kept % step)
  let base = levels?.find(level)
  if (levels && base === undefined && level > 0) {
    let below = level - step
    while (below > 0 && levels.find(below) === undefined) below -= step
    base = widen(levels.find(below), hidden, below, level)
    extendSolution(rows, n, base, level, below, level)
    levels.set(level, base)
  }
  const solved = widen(base, hidden, level, kept)
  extendSolution(rows, n, solved, kept, base ? level : 0, kept)

  const positions = Int32Array.from({ length: kept }, (_, i) => i).sort(
    (a, b) => (order[a] as number) - (order[b] as number),
  )
  const weight = new Float32Array(hidden * kept)
  for (let row = 0; row < hidden; row++) {
    for (let column = 0; column < kept; column++) {
      weight[row * kept + column] = solved[row * kept + (positions[column] as number)] as number
    }
  }
  return weight
}

/** [hidden, from] as the first columns of [hidden, to], zeros after them; all zeros where there is nothing yet. */
function widen(solution: Float64Array | undefined, hidden: number, from: number, to: number): Float64Array {
  const wide = new Float64Array(hidden * to)
  if (solution === undefined) return wide
  for (let row = 0; row < hidden; row++) wide.set(solution.subarray(row * from, (row + 1) * from), row * to)
  return wide
}

/** W m - W' m_K, [hidden]: what the kept channels do not give on average. */
export function leastSquaresBias(
  problem: Pick<LeastSquaresProblem, 'weight' | 'hidden' | 'count' | 'sum'>,
  fitted: Float32Array,
  keptChannels: Int32Array,
): Float32Array {
  const { weight, hidden, count, sum } = problem
  const inputs = sum.length
  const kept = keptChannels.length
  return Float32Array.from({ length: hidden }, (_, row) => {
    let total = 0
    for (let j = 0; j < inputs; j++) total += (weight[row * inputs + j] as number) * (sum[j] as number)
    for (let j = 0; j < kept; j++) {
      total -= (fitted[row * kept + j] as number) * (sum[keptChannels[j] as number] as number)
    }
    return total / count
  })
}

/** E[(x - m) (x - m)^T], packed as the Gram matrix is. */
function covarianceOf({ gram, sum, count }: LeastSquaresProblem): Float64Array {
  const covariance = new Float64Array(gram.length)
  for (let i = 0, at = 0; i < sum.length; i++) {
    const mean = (sum[i] as number) / count
    for (let j = 0; j <= i; j++, at++)
      covariance[at] = (gram[at] as number) / count - (mean * (sum[j] as number)) / count
  }
  return covariance
}

/**
 * lambda x mean(diag C), with lambda = rho / (1 - rho) and rho the oracle approximating shrinkage of a covariance
 * towards a multiple of the identity (Chen, Wiesel, Eldar, Hero, IEEE Trans. Signal Processing 58, 2010, eq. 23):
 * it falls with the number of tokens and grows with the number of directions that the inputs have.
 */
function ridgeOf(covariance: Float64Array, inputs: number, count: number): number {
  let trace = 0
  let squares = 0
  for (let i = 0, at = 0; i < inputs; i++) {
    for (let j = 0; j < i; j++, at++) squares += 2 * (covariance[at] as number) ** 2
    trace += covariance[at] as number
    squares += (covariance[at++] as number) ** 2
  }
  // Inputs that never vary tell nothing: any ridge leaves their weights alone.
  if (!(trace > 0)) return 1
  const correction = 1 - 2 / inputs
  const spread = squares - trace ** 2 / inputs
  // Equal variances without correlation are a multiple of the identity already.
  const rho = spread > 0 ? (correction * squares + trace ** 2) / ((count + correction) * spread) : mostShrinkage
  const shrinkage = Math.max(0, Math.min(rho, mostShrinkage))
  return ((shrinkage / (1 - shrinkage)) * trace) / inputs
}

/** Leaves the ridge finite where the formula asks for the identity alone. */
const mostShrinkage = 1 - 1e-6

function entryOf(packed: Float64Array, i: number, j: number): number {
  return packed[i >= j ? packedLength(i) + j : packedLength(j) + i] as number
}

/** The right-hand sides W C[:, order] + r W[:, order], one row of W each. */
function fillTargets(
  rows: Float64Array,
  { weight, hidden, sum }: LeastSquaresProblem,
  order: Int32Array,
  covariance: Float64Array,
  ridge: number,
): void {
  const inputs = sum.length
  const n = order.length
  const column = new Float64Array(inputs)
  for (let k = 0; k < n; k++) {
    const channel = order[k] as number
    for (let j = 0; j < inputs; j++) column[j] = entryOf(covariance, j, channel)
    column[channel] = (column[channel] as number) + ridge
    for (let row = 0; row < hidden; row++) {
      const start = row * inputs
      let [even, odd] = [0, 0]
      for (let j = 0; j + 1 < inputs; j += 2) {
        even += (weight[start + j] as number) * (column[j] as number)
        odd += (weight[start + j + 1] as number) * (column[j + 1] as number)
      }
      if (inputs % 2 === 1) even += (weight[start + inputs - 1] as number) * (column[inputs - 1] as number)
      rows[rowStart(n + row, n) + k] = even + odd
    }
  }
}
