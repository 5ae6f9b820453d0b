/**
 * Least-squares compensation: the kept columns of o_proj or down_proj are fitted anew so that they give what the whole
 * matrix W gave, as far as the kept inputs can tell. With x the inputs over the calibration tokens, C their covariance,
 * m their mean, K the kept channels and r a ridge, W' minimises
 *   E |W (x - m) - W' (x_K - m_K)|^2 + r |W' - W[:, K]|^2,
 * so W' = (W C[:, K] + r W[:, K]) (C[K, K] + r I)^-1, and the bias is W m - W' m_K. The ridge draws W' towards W[:, K]:
 * without correlations, or with few tokens, it is mean compensation. All in float64.
 */
import { cutPanels, extendFromPanels, factorPanels, type RowStorage } from './cholesky-panels.js'
import {
  addScaledRows,
  factorRows,
  invertFactor,
  packedLength,
  type Rows,
  rowStart,
  solveStep,
} from './cholesky-rows.js'

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

/** The same with its rows in a storage, of which it takes into memory about `memoryBytes` at a time. */
export interface StoredLeastSquaresFactor extends Omit<LeastSquaresFactor, 'rows'> {
  readonly storage: RowStorage
  readonly memoryBytes: number
}

/**
 * Factors the problem for channels kept in this order (all or some of the inputs, each once). Costs
 * n^3 / 3 + hidden inputs n + hidden n^2 / 2 multiplications for n channels in the order.
 */
export function factorLeastSquares(problem: LeastSquaresProblem, order: Int32Array): LeastSquaresFactor {
  const { hidden } = problem
  const n = order.length
  const rows = new Float64Array(rowStart(n + hidden, n))
  fillRows({ values: rows, first: 0, end: n + hidden }, problem, order, ridgeOf(problem))
  factorRows(rows, n, hidden)
  invertFactor(rows, n)
  return { order, hidden, rows }
}

/**
 * `factorLeastSquares` into a storage: the same numbers, to the last bit.
 * @param checkAborted called now and then; throws to give up
 */
export async function factorLeastSquaresInto(
  storage: RowStorage,
  problem: LeastSquaresProblem,
  order: Int32Array,
  memoryBytes: number,
  checkAborted: () => void,
): Promise<StoredLeastSquaresFactor> {
  const { hidden } = problem
  const n = order.length
  const ridge = ridgeOf(problem)
  for (const { first, end } of cutPanels(n, hidden, memoryBytes)) {
    checkAborted()
    const values = new Float64Array(rowStart(end, n) - rowStart(first, n))
    fillRows({ values, first, end }, problem, order, ridge)
    await storage.write(first, values)
  }
  await factorPanels(storage, n, hidden, memoryBytes, checkAborted)
  return { order, hidden, storage, memoryBytes }
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
export function solveLeastSquares(factor: LeastSquaresFactor, kept: number, levels?: SolutionLevels): Float32Array {
  const { order, hidden, rows } = factor
  const n = order.length
  const all = { values: rows, first: 0, end: n + hidden }
  const solution = planSolution(factor, kept, levels).reduce<Float64Array>(
    (known, { from, to, isLevel }) => {
      const solved = widen(known, hidden, from, to)
      for (let row = 0; row < hidden; row++) {
        const factors = rows.subarray(rowStart(n + row, n), rowStart(n + row + 1, n))
        addScaledRows(all, n, factors, solved.subarray(row * to, (row + 1) * to), from, to)
      }
      if (isLevel) levels?.set(to, solved)
      return solved
    },
    startOf(factor, kept, levels),
  )
  return inChannelOrder(solution, factor, kept)
}

/** `solveLeastSquares` from a storage. */
export async function solveStoredLeastSquares(
  factor: StoredLeastSquaresFactor,
  kept: number,
  levels?: SolutionLevels,
): Promise<Float32Array> {
  const { order, hidden, storage, memoryBytes } = factor
  let solution = startOf(factor, kept, levels)
  for (const { from, to, isLevel } of planSolution(factor, kept, levels)) {
    solution = widen(solution, hidden, from, to)
    await extendFromPanels(storage, order.length, hidden, solution, from, to, memoryBytes)
    if (isLevel) levels?.set(to, solution)
  }
  return inChannelOrder(solution, factor, kept)
}

type Factored = Pick<LeastSquaresFactor, 'order' | 'hidden'>

function levelStep({ order }: Factored): number {
  return solveStep * Math.ceil(order.length / levelsOfModule / solveStep)
}

/** The highest known level that is not above `kept`; 0: none. */
function knownLevel(factor: Factored, kept: number, levels: SolutionLevels | undefined): number {
  const step = levelStep(factor)
  let level = kept - (kept % step)
  while (level > 0 && levels?.find(level) === undefined) level -= step
  return Math.max(0, level)
}

function startOf(factor: Factored, kept: number, levels: SolutionLevels | undefined): Float64Array {
  return levels?.find(knownLevel(factor, kept, levels)) ?? new Float64Array()
}

interface SolutionPart {
  readonly from: number
  readonly to: number
  readonly isLevel: boolean
}

/** From the known level to the one below `kept`, which is remembered, and on to `kept`. */
function planSolution(factor: Factored, kept: number, levels: SolutionLevels | undefined): SolutionPart[] {
  const known = knownLevel(factor, kept, levels)
  const level = levels === undefined ? known : kept - (kept % levelStep(factor))
  const parts = [
    { from: known, to: level, isLevel: true },
    { from: level, to: kept, isLevel: false },
  ]
  return parts.filter(({ from, to }) => from < to)
}

/** Columns by order as columns by rising channel, in float32. */
function inChannelOrder(solved: Float64Array, { order, hidden }: Factored, kept: number): Float32Array {
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

/** [hidden, from] as the first columns of [hidden, to], zeros after them. */
function widen(solution: Float64Array, hidden: number, from: number, to: number): Float64Array {
  const wide = new Float64Array(hidden * to)
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

/** E[(x_i - m_i) (x_j - m_j)] */
export function covarianceOf({ gram, sum, count }: LeastSquaresProblem, i: number, j: number): number {
  const [low, high] = i >= j ? [j, i] : [i, j]
  const mean = (sum[high] as number) / count
  return (gram[packedLength(high) + low] as number) / count - (mean * (sum[low] as number)) / count
}

/**
 * lambda x mean(diag C), with lambda = rho / (1 - rho) and rho the oracle approximating shrinkage of a covariance
 * towards a multiple of the identity (Chen, Wiesel, Eldar, Hero, IEEE Trans. Signal Processing 58, 2010, eq. 23):
 * it falls with the number of tokens and grows with the number of directions that the inputs have.
 */
export function ridgeOf(problem: LeastSquaresProblem): number {
  const { count } = problem
  const inputs = problem.sum.length
  let trace = 0
  let squares = 0
  for (let i = 0; i < inputs; i++) {
    for (let j = 0; j < i; j++) squares += 2 * covarianceOf(problem, i, j) ** 2
    const variance = covarianceOf(problem, i, i)
    trace += variance
    squares += variance ** 2
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

/** Rows of C[order, order] + r I, then of W C[:, order] + r W[:, order], one row of W each. */
function fillRows({ values, first, end }: Rows, problem: LeastSquaresProblem, order: Int32Array, ridge: number): void {
  const n = order.length
  const base = rowStart(first, n)
  for (let i = first; i < Math.min(n, end); i++) {
    const start = rowStart(i, n) - base
    for (let j = 0; j <= i; j++) values[start + j] = covarianceOf(problem, order[i] as number, order[j] as number)
    values[start + i] = (values[start + i] as number) + ridge
  }
  if (end <= n) return
  const { weight } = problem
  const inputs = problem.sum.length
  const column = new Float64Array(inputs)
  for (let k = 0; k < n; k++) {
    const channel = order[k] as number
    for (let j = 0; j < inputs; j++) column[j] = covarianceOf(problem, j, channel)
    column[channel] = (column[channel] as number) + ridge
    for (let row = Math.max(0, first - n); row < end - n; row++) {
      const start = row * inputs
      let [even, odd] = [0, 0]
      for (let j = 0; j + 1 < inputs; j += 2) {
        even += (weight[start + j] as number) * (column[j] as number)
        odd += (weight[start + j + 1] as number) * (column[j + 1] as number)
      }
      if (inputs % 2 === 1) even += (weight[start + inputs - 1] as number) * (column[inputs - 1] as number)
      values[rowStart(n + row, n) - base + k] = even + odd
    }
  }
}
