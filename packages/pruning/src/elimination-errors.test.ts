import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { eliminationErrors } from './elimination-errors.js'
import { covarianceOf, type LeastSquaresProblem, ridgeOf } from './least-squares.js'
import { createRandomGenerator } from './random-generator.js'

/** Inputs with correlations, as a calibration records them. */
function createProblem(seed: number, inputs: number, hidden: number, count: number): LeastSquaresProblem {
  const random = createRandomGenerator(seed)
  const mixing = Array.from({ length: inputs }, () => Array.from({ length: inputs }, () => random.normal()))
  const rows = Array.from({ length: count }, () => {
    const source = Array.from({ length: inputs }, () => random.normal() + 0.3)
    return mixing.map((weights, i) => weights.reduce((sum, w, j) => sum + 0.5 * w * (source[j] ?? 0), source[i] ?? 0))
  })
  const sum = Float64Array.from({ length: inputs }, (_, i) => rows.reduce((total, row) => total + (row[i] ?? 0), 0))
  const gram = Float64Array.from(
    Array.from({ length: inputs }, (_, i) =>
      Array.from({ length: i + 1 }, (_, j) => rows.reduce((total, row) => total + (row[i] ?? 0) * (row[j] ?? 0), 0)),
    ).flat(),
  )
  const weight = Float32Array.from({ length: hidden * inputs }, () => random.normal())
  return { weight, hidden, count, sum, gram }
}

/** min over V with columns of K alone of trace (W - V) (C + r I) (W - V)^T, by the normal equations. */
function leastError(problem: LeastSquaresProblem, kept: readonly number[]): number {
  const { weight, hidden } = problem
  const inputs = problem.sum.length
  const ridge = ridgeOf(problem)
  const c = (i: number, j: number) => covarianceOf(problem, i, j) + (i === j ? ridge : 0)
  let error = 0
  for (let row = 0; row < hidden; row++) {
    const w = Array.from(weight.subarray(row * inputs, (row + 1) * inputs))
    const right = (i: number) => w.reduce((sum, value, j) => sum + value * c(i, j), 0)
    const v = solve(
      kept.map((i) => [...kept.map((j) => c(i, j)), right(i)]),
      kept.length,
    )
    const rest = w.map((value, i) => value - (v[kept.indexOf(i)] ?? 0))
    rest.forEach((a, i) => {
      rest.forEach((b, j) => {
        error += a * b * c(i, j)
      })
    })
  }
  return error
}

/** Gaussian elimination with pivots, of [A | b]. */
function solve(rows: number[][], n: number): number[] {
  for (let k = 0; k < n; k++) {
    const pivot = rows.slice(k).reduce((best, row) => (Math.abs(row[k] ?? 0) > Math.abs(best[k] ?? 0) ? row : best))
    rows.splice(rows.indexOf(pivot), 1)
    rows.splice(k, 0, pivot)
    rows.forEach((row, i) => {
      if (i === k) return
      const factor = (row[k] ?? 0) / (pivot[k] ?? 1)
      for (let j = k; j <= n; j++) row[j] = (row[j] ?? 0) - factor * (pivot[j] ?? 0)
    })
  }
  return rows.map((row, i) => (row[n] ?? 0) / (row[i] ?? 1))
}

const inputsOf = (units: readonly number[], size: number) =>
  units.flatMap((unit) => Array.from({ length: size }, (_, i) => unit * size + i))

describe('eliminationErrors', () => {
  it('removes the unit that costs least once the others are fitted anew, and says what it cost', () => {
    const anyProblem = fc.record({
      seed: fc.nat(10_000),
      units: fc.integer({ min: 2, max: 7 }),
      size: fc.integer({ min: 1, max: 3 }),
      hidden: fc.integer({ min: 1, max: 5 }),
    })
    fc.assert(
      fc.property(anyProblem, ({ seed, units, size, hidden }) => {
        const problem = createProblem(seed, units * size, hidden, 40)
        const errors = eliminationErrors(problem, units)
        const order = [...errors.keys()].sort((a, b) => (errors[a] ?? 0) - (errors[b] ?? 0))
        let left = [...errors.keys()]
        let before = 0
        let highest = 0
        for (const unit of order) {
          const without = (removed: number) => left.filter((other) => other !== removed)
          const costs = left.map((removed) => leastError(problem, inputsOf(without(removed), size)) - before)
          const cost = costs[left.indexOf(unit)] ?? 0
          expect(cost).toBeLessThanOrEqual(Math.min(...costs) * (1 + 1e-6) + 1e-9)
          highest = Math.max(highest, cost)
          expect(errors[unit]).toBeCloseTo(highest, 5)
          before += cost
          left = without(unit)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('gives up when told to', () => {
    const stop = () => {
      throw new Error('stopped')
    }
    expect(() => eliminationErrors(createProblem(1, 4, 2, 20), 4, stop)).toThrow('stopped')
  })
})
