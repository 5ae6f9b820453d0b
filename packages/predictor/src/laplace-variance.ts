/** Rows of R multiplied at a time, so that additions need not wait for each other. */
const VARIANCE_ROWS = 8

/** |R J|^2 with R lower triangular, zeros above the diagonal. */
export function laplaceVariance(root: Float64Array, jacobian: Float64Array): number {
  const count = jacobian.length
  let variance = 0
  let row = 0
  for (; row + VARIANCE_ROWS <= count; row += VARIANCE_ROWS) variance += squaresOfRows(root, jacobian, row)
  for (; row < count; row++) {
    let sum = 0
    for (let k = 0; k <= row; k++) sum += (root[row * count + k] as number) * (jacobian[k] as number)
    variance += sum * sum
  }
  return variance
}

/** What eight rows from `row` on add to it. */
function squaresOfRows(root: Float64Array, jacobian: Float64Array, row: number): number {
  const count = jacobian.length
  const [a, b, c, d] = [row * count, (row + 1) * count, (row + 2) * count, (row + 3) * count]
  const [e, f, g, h] = [(row + 4) * count, (row + 5) * count, (row + 6) * count, (row + 7) * count]
  let [sumA, sumB, sumC, sumD] = [0, 0, 0, 0]
  let [sumE, sumF, sumG, sumH] = [0, 0, 0, 0]
  for (let k = 0; k < row + VARIANCE_ROWS; k++) {
    const slope = jacobian[k] as number
    sumA += (root[a + k] as number) * slope
    sumB += (root[b + k] as number) * slope
    sumC += (root[c + k] as number) * slope
    sumD += (root[d + k] as number) * slope
    sumE += (root[e + k] as number) * slope
    sumF += (root[f + k] as number) * slope
    sumG += (root[g + k] as number) * slope
    sumH += (root[h + k] as number) * slope
  }
  const first = sumA * sumA + sumB * sumB + (sumC * sumC + sumD * sumD)
  return first + (sumE * sumE + sumF * sumF + (sumG * sumG + sumH * sumH))
}
