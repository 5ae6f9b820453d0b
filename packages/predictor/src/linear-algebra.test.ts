import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { addGram, choleskyFactor, GRAM_ROWS, invertLower, solveCholesky } from './linear-algebra.js'

const entry = fc.double({ min: -3, max: 3, noNaN: true })
const rowsOfAnySize = fc.integer({ min: 1, max: 14 }).chain((n) =>
  fc.record({
    n: fc.constant(n),
    rows: fc.array(fc.array(entry, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 12 }),
    b: fc.array(entry, { minLength: n, maxLength: n }),
  }),
)

/** Full symmetric A^T A + I from its definition. */
function gramPlusIdentity(rows: readonly (readonly number[])[], n: number): number[][] {
  const product = (i: number, j: number) => rows.reduce((sum, row) => sum + (row[i] ?? 0) * (row[j] ?? 0), 0)
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => product(i, j) + (i === j ? 1 : 0)))
}

describe('linear algebra', () => {
  it('solves (A^T A + I) x = b and inverts its factor', () => {
    fc.assert(
      fc.property(rowsOfAnySize, ({ n, rows, b }) => {
        const padded = new Float64Array(Math.ceil(rows.length / GRAM_ROWS) * GRAM_ROWS * n)
        padded.set(rows.flat())
        const lower = new Float64Array(n * n)
        for (let i = 0; i < n; i++) lower[i * n + i] = 1
        addGram(lower, padded, n)
        const factor = choleskyFactor(lower, n) ?? new Float64Array(0)
        const x = solveCholesky(factor, n, Float64Array.from(b))
        const root = invertLower(factor, n)
        gramPlusIdentity(rows, n).forEach((row, i) => {
          const found = row.reduce((sum, value, j) => sum + value * (x[j] ?? 0), 0)
          expect(found).toBeCloseTo(b[i] ?? 0, 8)
          // R A R^T = I with R = L^-1, row i against row i.
          const r = Array.from({ length: n }, (_, k) => root[i * n + k] ?? 0)
          const matrix = gramPlusIdentity(rows, n)
          const norm = r.reduce((sum, a, p) => sum + a * r.reduce((s, c, q) => s + c * (matrix[p]?.[q] ?? 0), 0), 0)
          expect(norm).toBeCloseTo(1, 8)
        })
      }),
      { numRuns: 60 },
    )
  })

  it('says that a matrix is not positive definite', () => {
    expect(choleskyFactor(Float64Array.of(1, 0, 2, 1), 2)).toBeNull()
    expect(choleskyFactor(Float64Array.of(Number.NaN), 1)).toBeNull()
  })
})
