/**
 * Optimal Brain Surgeon for the inputs of an output matrix (Hassibi and Stork 1993; whole structures: Kurtic et al.,
 * arXiv 2302.04089, section 3.1): units go one after the other, each time the one whose removal costs least once the
 * kept columns are fitted anew, as least-squares compensation does it.
 *
 * With C the covariance of the inputs plus its ridge, H = C^-1, W the weights fitted so far and M = W^T W, removing
 * input q costs
 *   e_q = M[q][q] / H[q][q]
 * and leaves, with h = H[:, q], p = h / h_q, u = M[:, q] / h_q - e_q p / (2 h_q) and e_q as above,
 *   M - u h^T - h u^T  and  H - h p^T,
 * whose row and column q are zero. Both are kept as packed lower triangles of the inputs that are left.
 */
import { factorRows, invertFactor, packedLength } from './cholesky-rows.js'
import { covarianceOf, type LeastSquaresProblem, ridgeOf } from './least-squares.js'

/** Inputs of the widest module whose units can be eliminated: n^3 / 2 multiplications, 8 n^2 bytes. */
export const mostEliminationInputs = 8192

/** Importances of two units differ by this share at least, so that a ranking by them is the order of elimination. */
const LEAST_GROWTH = 1e-12
/** What was removed is taken out of the triangles when so large a share of their inputs is gone. */
const GONE_SHARE = 1 / 8

/**
 * What E |W (x - m) - W' (x_K - m_K)|^2 grows by when each unit is removed in its turn, [units]: an importance that
 * ranks units in the reverse order of their elimination. Costs about n^3 / 2 + hidden n^2 / 2 multiplications for n inputs.
 * @param units of equally many neighbouring inputs each
 * @param checkAborted called before each removal; throws to give up
 */
export function eliminationErrors(
  problem: LeastSquaresProblem,
  units: number,
  checkAborted: () => void = () => undefined,
): Float64Array {
  const size = problem.sum.length / units
  const errors = new Float64Array(units)
  let left = createLeft(problem)
  let last = 0
  for (let removed = 0; removed < units; removed++) {
    checkAborted()
    const { unit, error } = findCheapest(left, units, size)
    last = Math.max(error, last * (1 + LEAST_GROWTH))
    errors[unit] = last
    for (let input = unit * size; input < (unit + 1) * size; input++) eliminate(left, left.places[input] as number)
    if (left.gone > GONE_SHARE * left.inputs.length) left = withoutGone(left)
  }
  return errors
}

/** H and M of the inputs that are left, and of some that are gone, whose rows and columns are zero. */
interface Left {
  /** Packed rows of the lower triangle. */
  readonly inverse: Float64Array
  readonly product: Float64Array
  /** Input in each place of the triangles; -1: gone. */
  readonly inputs: Int32Array
  /** Place of each input of the module. */
  readonly places: Int32Array
  gone: number
}

function createLeft(problem: LeastSquaresProblem): Left {
  const n = problem.sum.length
  return {
    inverse: invertCovariance(problem),
    product: multiplyColumns(problem),
    inputs: Int32Array.from({ length: n }, (_, input) => input),
    places: Int32Array.from({ length: n }, (_, input) => input),
    gone: 0,
  }
}

/** (C + r I)^-1 = L^-T L^-1. */
function invertCovariance(problem: LeastSquaresProblem): Float64Array {
  const n = problem.sum.length
  const ridge = ridgeOf(problem)
  const root = new Float64Array(packedLength(n))
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) root[packedLength(i) + j] = covarianceOf(problem, i, j) + (i === j ? ridge : 0)
  }
  factorRows(root, n, 0)
  invertFactor(root, n)
  const inverse = new Float64Array(packedLength(n))
  for (let row = 0; row < n; row++) addOuterProduct(inverse, root.subarray(packedLength(row), packedLength(row + 1)))
  return inverse
}

/** W^T W. */
function multiplyColumns({ weight, hidden, sum }: LeastSquaresProblem): Float64Array {
  const n = sum.length
  const product = new Float64Array(packedLength(n))
  for (let row = 0; row < hidden; row++) {
    addOuterProduct(product, Float64Array.from(weight.subarray(row * n, (row + 1) * n)))
  }
  return product
}

/** triangle += v v^T, in its first rows. */
function addOuterProduct(triangle: Float64Array, v: Float64Array): void {
  for (let i = 0; i < v.length; i++) {
    const scale = v[i] as number
    const start = packedLength(i)
    for (let j = 0; j <= i; j++) triangle[start + j] = (triangle[start + j] as number) + scale * (v[j] as number)
  }
}

function findCheapest(left: Left, units: number, size: number): { unit: number; error: number } {
  let cheapest = { unit: -1, error: Number.POSITIVE_INFINITY }
  for (let unit = 0; unit < units; unit++) {
    const place = left.places[unit * size] as number
    if (place < 0) continue
    const error = size === 1 ? errorAt(left, place) : errorOfBlock(left, place, size)
    if (cheapest.unit < 0 || error < cheapest.error) cheapest = { unit, error }
  }
  return cheapest
}

/** e_q; rounding may leave a hair less than nothing. */
function errorAt({ inverse, product }: Pick<Left, 'inverse' | 'product'>, place: number): number {
  const diagonal = packedLength(place) + place
  return Math.max(0, (product[diagonal] as number) / (inverse[diagonal] as number))
}

/** Neighbouring inputs cost what removing one after the other does; that takes nothing but their own blocks of H and M. */
function errorOfBlock({ inverse, product }: Left, first: number, size: number): number {
  const blockOf = (triangle: Float64Array) => {
    const block = new Float64Array(packedLength(size))
    for (let i = 0; i < size; i++) {
      const start = packedLength(first + i) + first
      block.set(triangle.subarray(start, start + i + 1), packedLength(i))
    }
    return block
  }
  const places = Int32Array.from({ length: size }, (_, place) => place)
  const block: Left = { inverse: blockOf(inverse), product: blockOf(product), inputs: places.slice(), places, gone: 0 }
  let error = 0
  for (let place = 0; place < size; place++) {
    error += errorAt(block, place)
    eliminate(block, place)
  }
  return error
}

/** Removes the input in a place: see above. */
function eliminate(left: Left, q: number): void {
  const { inverse, product, inputs } = left
  const n = inputs.length
  const h = columnOf(inverse, n, q)
  const u = columnOf(product, n, q)
  const pivot = h[q] as number
  const half = (u[q] as number) / (2 * pivot * pivot)
  for (let i = 0; i < n; i++) u[i] = (u[i] as number) / pivot - half * (h[i] as number)
  for (let i = 0; i < n; i++) {
    if ((inputs[i] as number) < 0) continue
    const [hi, ui, pi] = [h[i] as number, u[i] as number, (h[i] as number) / pivot]
    const start = packedLength(i)
    for (let j = 0; j <= i; j++) {
      const hj = h[j] as number
      inverse[start + j] = (inverse[start + j] as number) - pi * hj
      product[start + j] = (product[start + j] as number) - ui * hj - hi * (u[j] as number)
    }
  }
  left.places[inputs[q] as number] = -1
  inputs[q] = -1
  left.gone += 1
}

function columnOf(triangle: Float64Array, n: number, q: number): Float64Array {
  const column = new Float64Array(n)
  column.set(triangle.subarray(packedLength(q), packedLength(q + 1)))
  for (let i = q + 1; i < n; i++) column[i] = triangle[packedLength(i) + q] as number
  return column
}

function withoutGone({ inverse, product, inputs, places }: Left): Left {
  const kept = Int32Array.from(inputs.keys()).filter((place) => (inputs[place] as number) >= 0)
  const gather = (triangle: Float64Array) => {
    const gathered = new Float64Array(packedLength(kept.length))
    for (let i = 0; i < kept.length; i++) {
      const [from, to] = [packedLength(kept[i] as number), packedLength(i)]
      for (let j = 0; j <= i; j++) gathered[to + j] = triangle[from + (kept[j] as number)] as number
    }
    return gathered
  }
  const left = kept.map((place) => inputs[place] as number)
  for (const [place, input] of left.entries()) places[input] = place
  return { inverse: gather(inverse), product: gather(product), inputs: left, places, gone: 0 }
}
