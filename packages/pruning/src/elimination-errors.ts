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
 * whose row and column q are zero. Both are kept as packed lower triangles of the inputs that are left, and brought up to
 * date for several removals together; until then their columns are corrected as they are needed.
 */
import { factorRows, invertFactor, packedLength } from './cholesky-rows.js'
import { covarianceOf, type LeastSquaresProblem, ridgeOf } from './least-squares.js'

/** Inputs of the widest module whose units can be eliminated: n^3 / 2 multiplications, 8 n^2 bytes. */
export const mostEliminationInputs = 8192

/** Importances of two units differ by this share at least, so that a ranking by them is the order of elimination. */
const LEAST_GROWTH = 1e-12
/** Removals that the triangles are brought up to date for together, so that each number is read and written once. */
const BATCH = 4
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
    if (size > 1) bringUpToDate(left)
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
  /** Packed rows of the lower triangle, before what is pending. */
  readonly inverse: Float64Array
  readonly product: Float64Array
  /** Diagonals, after what is pending. */
  readonly inverseDiagonal: Float64Array
  readonly productDiagonal: Float64Array
  /** Fewer than `BATCH`. */
  readonly pending: Removal[]
  /** Input in each place of the triangles; -1: gone. */
  readonly inputs: Int32Array
  /** Place of each input of the module. */
  readonly places: Int32Array
  gone: number
}

/** See h, p and u above. */
interface Removal {
  readonly h: Float64Array
  readonly p: Float64Array
  readonly u: Float64Array
}

function createLeft(problem: LeastSquaresProblem): Left {
  const places = Int32Array.from({ length: problem.sum.length }, (_, place) => place)
  return leftOf(invertCovariance(problem), multiplyColumns(problem), places.slice(), places)
}

function leftOf(inverse: Float64Array, product: Float64Array, inputs: Int32Array, places: Int32Array): Left {
  const diagonalOf = (triangle: Float64Array) =>
    Float64Array.from(inputs, (_, place) => triangle[packedLength(place) + place] as number)
  const diagonals = { inverseDiagonal: diagonalOf(inverse), productDiagonal: diagonalOf(product) }
  return { inverse, product, ...diagonals, pending: [], inputs, places, gone: 0 }
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
  const rowOf = (row: number) => root.subarray(packedLength(row), packedLength(row + 1))
  return sumOuterProducts(n, n, rowOf)
}

/** W^T W. */
function multiplyColumns({ weight, hidden, sum }: LeastSquaresProblem): Float64Array {
  const n = sum.length
  return sumOuterProducts(n, hidden, (row) => weight.subarray(row * n, (row + 1) * n))
}

/**
 * sum_row v v^T with v = rowOf(row), as packed rows of the lower triangle of n inputs; four rows at a time, because it is
 * the triangle that does not fit the cache.
 * @param rowOf ends with zeros where it is shorter than n, and none before it is longer
 */
function sumOuterProducts(n: number, rows: number, rowOf: (row: number) => ArrayLike<number>): Float64Array {
  const triangle = new Float64Array(packedLength(n))
  const four = Array.from({ length: 4 }, () => new Float64Array(n))
  const [a, b, c, d] = four as [Float64Array, Float64Array, Float64Array, Float64Array]
  for (let row = 0; row < rows; row += 4) {
    for (const [offset, values] of four.entries()) values.fill(0).set(row + offset < rows ? rowOf(row + offset) : [])
    const length = rowOf(Math.min(row + 3, rows - 1)).length
    for (let i = 0; i < length; i++) addRow(triangle, packedLength(i), i, a, b, c, d)
  }
  return triangle
}

function addRow(
  triangle: Float64Array,
  start: number,
  i: number,
  a: Float64Array,
  b: Float64Array,
  c: Float64Array,
  d: Float64Array,
): void {
  const [ai, bi, ci, di] = [a[i] as number, b[i] as number, c[i] as number, d[i] as number]
  for (let j = 0; j <= i; j++) {
    const sum = ai * (a[j] as number) + bi * (b[j] as number) + (ci * (c[j] as number) + di * (d[j] as number))
    triangle[start + j] = (triangle[start + j] as number) + sum
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
function errorAt({ inverseDiagonal, productDiagonal }: Left, place: number): number {
  return Math.max(0, (productDiagonal[place] as number) / (inverseDiagonal[place] as number))
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
  const block = leftOf(blockOf(inverse), blockOf(product), places.slice(), places)
  let error = 0
  for (let place = 0; place < size; place++) {
    error += errorAt(block, place)
    eliminate(block, place)
  }
  return error
}

/** Removes the input in a place: see above. */
function eliminate(left: Left, q: number): void {
  const { inverseDiagonal, productDiagonal, pending, inputs } = left
  const n = inputs.length
  const h = columnOf(left.inverse, n, q)
  const u = columnOf(left.product, n, q)
  for (const before of pending) {
    const [hq, pq, uq] = [before.h[q] as number, before.p[q] as number, before.u[q] as number]
    for (let i = 0; i < n; i++) {
      h[i] = (h[i] as number) - pq * (before.h[i] as number)
      u[i] = (u[i] as number) - uq * (before.h[i] as number) - hq * (before.u[i] as number)
    }
  }
  const pivot = h[q] as number
  const half = (u[q] as number) / (2 * pivot * pivot)
  const p = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    const hi = h[i] as number
    p[i] = hi / pivot
    u[i] = (u[i] as number) / pivot - half * hi
    inverseDiagonal[i] = (inverseDiagonal[i] as number) - (p[i] as number) * hi
    productDiagonal[i] = (productDiagonal[i] as number) - 2 * (u[i] as number) * hi
  }
  pending.push({ h, p, u })
  left.places[inputs[q] as number] = -1
  inputs[q] = -1
  left.gone += 1
  if (pending.length === BATCH) bringUpToDate(left)
}

/** Takes what is pending off the triangles: of H the sum of p h^T, of M the sum of u h^T + h u^T. */
function bringUpToDate({ inverse, product, pending, inputs }: Left): void {
  if (pending.length === 0) return
  const n = inputs.length
  const none = { h: new Float64Array(n), p: new Float64Array(n), u: new Float64Array(n) }
  const [a = none, b = none, c = none, d = none] = pending
  for (let i = 0; i < n; i++) {
    if ((inputs[i] as number) >= 0) updateRow(inverse, product, packedLength(i), i, a, b, c, d)
  }
  pending.length = 0
}

function updateRow(
  inverse: Float64Array,
  product: Float64Array,
  start: number,
  i: number,
  a: Removal,
  b: Removal,
  c: Removal,
  d: Removal,
): void {
  const [ah, bh, ch, dh] = [a.h, b.h, c.h, d.h]
  const [au, bu, cu, du] = [a.u, b.u, c.u, d.u]
  const [ahi, bhi, chi, dhi] = [ah[i] as number, bh[i] as number, ch[i] as number, dh[i] as number]
  const [aui, bui, cui, dui] = [au[i] as number, bu[i] as number, cu[i] as number, du[i] as number]
  const [api, bpi, cpi, dpi] = [a.p[i] as number, b.p[i] as number, c.p[i] as number, d.p[i] as number]
  for (let j = 0; j <= i; j++) {
    const [ahj, bhj, chj, dhj] = [ah[j] as number, bh[j] as number, ch[j] as number, dh[j] as number]
    const first = aui * ahj + ahi * (au[j] as number) + (bui * bhj + bhi * (bu[j] as number))
    const second = cui * chj + chi * (cu[j] as number) + (dui * dhj + dhi * (du[j] as number))
    inverse[start + j] = (inverse[start + j] as number) - (api * ahj + bpi * bhj + (cpi * chj + dpi * dhj))
    product[start + j] = (product[start + j] as number) - (first + second)
  }
}

function columnOf(triangle: Float64Array, n: number, q: number): Float64Array {
  const column = new Float64Array(n)
  column.set(triangle.subarray(packedLength(q), packedLength(q + 1)))
  for (let i = q + 1; i < n; i++) column[i] = triangle[packedLength(i) + q] as number
  return column
}

function withoutGone(before: Left): Left {
  bringUpToDate(before)
  const { inverse, product, inputs, places } = before
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
  return leftOf(gather(inverse), gather(product), left, places)
}
