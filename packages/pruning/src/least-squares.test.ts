import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { RowStorage } from './cholesky-panels.js'
import { rowStart } from './cholesky-rows.js'
import {
  factorLeastSquares,
  factorLeastSquaresInto,
  type LeastSquaresProblem,
  leastSquaresBias,
  solveLeastSquares,
  solveStoredLeastSquares,
} from './least-squares.js'
import { meanCompensationBias } from './mean-compensation.js'
import { createRandomGenerator } from './random-generator.js'

interface Sample {
  readonly problem: LeastSquaresProblem
  /** [tokens][inputs] */
  readonly inputs: readonly (readonly number[])[]
}

/** Correlated inputs with means of their own: a few common sources and a little noise. */
function sample(seed: number, inputs: number, hidden: number, tokens: number, noise = 0.3): Sample {
  const random = createRandomGenerator(seed)
  const sources = Math.max(1, inputs >> 1)
  const mixing = Array.from({ length: inputs }, () => Array.from({ length: sources }, () => random.normal()))
  const means = mixing.map(() => 2 * random.normal())
  const x = Array.from({ length: tokens }, () => {
    const source = Array.from({ length: sources }, () => random.normal())
    return mixing.map((row, j) =>
      row.reduce((sum, m, s) => sum + m * (source[s] ?? 0), (means[j] ?? 0) + noise * random.normal()),
    )
  })
  const total = (term: (token: readonly number[]) => number) => x.reduce((sum, token) => sum + term(token), 0)
  const channels = Array.from({ length: inputs }, (_, j) => j)
  const problem = {
    weight: Float32Array.from({ length: hidden * inputs }, () => random.normal()),
    hidden,
    count: tokens,
    sum: Float64Array.from(channels, (j) => total((token) => token[j] ?? 0)),
    gram: Float64Array.from(
      channels.flatMap((i) => channels.slice(0, i + 1).map((j) => total((token) => (token[i] ?? 0) * (token[j] ?? 0)))),
    ),
  }
  return { problem, inputs: x }
}

/** Gauss-Jordan elimination with pivoting: x A = b. */
function solveNaively(a: number[][], b: number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i] ?? 0])
  const n = rows.length
  for (let column = 0; column < n; column++) {
    const rest = rows.slice(column)
    const pivot =
      column +
      rest.reduce((best, row, i) => (Math.abs(row[column] ?? 0) > Math.abs(rest[best]?.[column] ?? 0) ? i : best), 0)
    const chosen = rows[pivot] ?? []
    rows[pivot] = rows[column] ?? []
    rows[column] = chosen.map((value) => value / (chosen[column] ?? 1))
    rows.forEach((row, i) => {
      if (i !== column) rows[i] = row.map((value, j) => value - (row[column] ?? 0) * (rows[column]?.[j] ?? 0))
    })
  }
  return rows.map((row) => row[n] ?? 0)
}

/** The formulas of the module read off the page: covariance from the tokens, oracle approximating shrinkage, ridge. */
function fitNaively({ problem, inputs }: Sample, kept: readonly number[]): number[] {
  const width = problem.sum.length
  const { count, hidden, weight } = problem
  const mean = Array.from(problem.sum, (sum) => sum / count)
  const covariance = (i: number, j: number) =>
    inputs.reduce((sum, x) => sum + ((x[i] ?? 0) - (mean[i] ?? 0)) * ((x[j] ?? 0) - (mean[j] ?? 0)), 0) / count
  const c = mean.map((_, i) => mean.map((_, j) => covariance(i, j)))
  const trace = c.reduce((sum, row, i) => sum + (row[i] ?? 0), 0)
  const squares = c.flat().reduce((sum, value) => sum + value * value, 0)
  const rho = Math.min(
    1 - 1e-6,
    ((1 - 2 / width) * squares + trace ** 2) / ((count + 1 - 2 / width) * (squares - trace ** 2 / width)),
  )
  const ridge = ((rho / (1 - rho)) * trace) / width
  const a = kept.map((i) => kept.map((j) => (c[i]?.[j] ?? 0) + (i === j ? ridge : 0)))
  return Array.from({ length: hidden }, (_, row) => {
    const w = weight.subarray(row * width, (row + 1) * width)
    return solveNaively(
      a,
      kept.map((k) => w.reduce((sum, value, j) => sum + value * (c[j]?.[k] ?? 0), ridge * (w[k] ?? 0))),
    )
  }).flat()
}

/** E |W (x - m) - W' (x_K - m_K)|^2 over the tokens, the bias included. */
function lossOf(
  { problem, inputs }: Sample,
  kept: readonly number[],
  fitted: Float32Array,
  bias: Float32Array,
): number {
  const { weight, hidden, sum } = problem
  const error = (x: readonly number[], row: number) =>
    x.reduce((total, value, j) => total + (weight[row * sum.length + j] ?? 0) * value, 0) -
    kept.reduce((total, channel, j) => total + (fitted[row * kept.length + j] ?? 0) * (x[channel] ?? 0), bias[row] ?? 0)
  return inputs.reduce((total, x) => {
    for (let row = 0; row < hidden; row++) total += error(x, row) ** 2
    return total
  }, 0)
}

const problems = fc.record({
  seed: fc.nat(),
  inputs: fc.integer({ min: 2, max: 12 }),
  hidden: fc.integer({ min: 1, max: 5 }),
  tokens: fc.integer({ min: 20, max: 40 }),
})

describe('least-squares compensation', () => {
  it('is the naive solution for every number of kept channels, from one factorisation', () => {
    fc.assert(
      fc.property(problems, ({ seed, inputs, hidden, tokens }) => {
        const drawn = sample(seed, inputs, hidden, tokens)
        const shuffled = Array.from({ length: inputs }, (_, j) => j)
        createRandomGenerator(seed, 'order').shuffle(shuffled)
        const order = Int32Array.from(shuffled)
        const factor = factorLeastSquares(drawn.problem, order)
        for (let kept = 0; kept <= inputs; kept++) {
          const channels = Array.from(order.subarray(0, kept)).sort((a, b) => a - b)
          const expected = fitNaively(drawn, channels)
          const scale = Math.max(1, ...expected.map(Math.abs))
          solveLeastSquares(factor, kept).forEach((value, i) => {
            expect(Math.abs(value - (expected[i] ?? Number.NaN)) / scale).toBeLessThan(1e-5)
          })
        }
      }),
      { numRuns: 60 },
    )
  })

  it('agrees with the normal equations over many blocks of columns', () => {
    const { problem } = sample(7, 150, 9, 400)
    const order = Int32Array.from({ length: 150 }, (_, j) => (j * 67) % 150)
    const factor = factorLeastSquares(problem, order)
    for (const kept of [31, 32, 33, 97, 149]) {
      const whole = solveLeastSquares(factor, kept)
      // Alone in its own order, the same channels have another factorisation.
      const alone = solveLeastSquares(factorLeastSquares(problem, order.slice(0, kept).reverse()), kept)
      whole.forEach((value, i) => {
        expect(value).toBeCloseTo(alone[i] ?? Number.NaN, 5)
      })
    }
  })

  it('is the same to the last bit whatever levels are at hand', () => {
    const { problem } = sample(11, 90, 7, 300)
    const factor = factorLeastSquares(
      problem,
      Int32Array.from({ length: 90 }, (_, j) => (j * 37) % 90),
    )
    const known = new Map<number, Float64Array>()
    const levels = {
      find: (level: number) => known.get(level),
      set: (level: number, solution: Float64Array) => void known.set(level, solution),
    }
    for (const kept of [89, 3, 50, 51, 52, 90, 8, 1, 0, 33]) {
      expect(solveLeastSquares(factor, kept, levels)).toEqual(solveLeastSquares(factor, kept))
    }
    expect([...known.keys()].sort((a, b) => a - b)).toEqual([8, 32, 48, 88])
  })

  it('is the same to the last bit from a storage, however little of it is in memory', async () => {
    const { problem } = sample(5, 150, 70, 400)
    const order = Int32Array.from({ length: 140 }, (_, j) => (j * 67) % 150)
    const factor = factorLeastSquares(problem, order)
    for (const memoryBytes of [1, 90_000, 1e9]) {
      const stored = new Float64Array(rowStart(140 + 70, 140))
      let most = 0
      const storage: RowStorage = {
        async read(first, end) {
          most = Math.max(most, rowStart(end, 140) - rowStart(first, 140))
          return stored.slice(rowStart(first, 140), rowStart(end, 140))
        },
        async write(first, values) {
          stored.set(values, rowStart(first, 140))
        },
      }
      const inStorage = await factorLeastSquaresInto(storage, problem, order, memoryBytes, () => undefined)
      expect(stored).toEqual(factor.rows)
      for (const kept of [0, 1, 63, 64, 101, 140]) {
        expect(await solveStoredLeastSquares(inStorage, kept)).toEqual(solveLeastSquares(factor, kept))
      }
      // Never more than a third of what is allowed, or a block of rows.
      expect(8 * most).toBeLessThanOrEqual(Math.max(memoryBytes / 3, 8 * 32 * 140))
    }
  })

  it('leaves all weights as they are when nothing is removed', () => {
    const { problem } = sample(3, 40, 6, 200)
    const order = Int32Array.from({ length: 40 }, (_, j) => 39 - j)
    const fitted = solveLeastSquares(factorLeastSquares(problem, order), 40)
    fitted.forEach((value, i) => {
      expect(value).toBeCloseTo(problem.weight[i] ?? Number.NaN, 5)
    })
  })

  it('is never worse on its tokens than mean compensation', () => {
    fc.assert(
      fc.property(problems, fc.nat(), ({ seed, inputs, hidden, tokens }, pick) => {
        const drawn = sample(seed, inputs, hidden, tokens)
        const { problem } = drawn
        const kept = Array.from({ length: inputs }, (_, j) => j).filter((j) => (pick >> j) % 2 === 1)
        const channels = Int32Array.from(kept)
        const fitted = solveLeastSquares(factorLeastSquares(problem, channels), kept.length)
        const columns = Float32Array.from({ length: hidden * kept.length }, (_, i) => {
          const row = Math.floor(i / kept.length)
          return problem.weight[row * inputs + (kept[i % kept.length] ?? 0)] ?? 0
        })
        const mean = problem.sum.map((sum) => sum / problem.count)
        const byMean = lossOf(drawn, kept, columns, meanCompensationBias(problem.weight, hidden, mean, kept))
        const bySquares = lossOf(drawn, kept, fitted, leastSquaresBias(problem, fitted, channels))
        expect(bySquares).toBeLessThanOrEqual(byMean * (1 + 1e-4) + 1e-6)
      }),
      { numRuns: 60 },
    )
  })

  it('keeps the weights of inputs that never vary', () => {
    const problem = {
      weight: Float32Array.of(1, 2, 3),
      hidden: 1,
      count: 4,
      sum: Float64Array.of(4, 8, 0),
      gram: Float64Array.of(4, 8, 16, 0, 0, 0),
    }
    expect(Array.from(solveLeastSquares(factorLeastSquares(problem, Int32Array.of(2, 0)), 2))).toEqual([1, 3])
  })
})
