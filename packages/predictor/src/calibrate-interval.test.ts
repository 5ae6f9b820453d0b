import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { calibrateInterval, type HonestScore, type ScoredEvaluation } from './calibrate-interval.js'
import { createTrainingSet } from './training-set.js'

/** A search of rounds whose errors are normal with `deviation` times the predicted deviation. */
function coverageOfRounds(deviation: (round: number) => number, seed: number): number {
  const random = createRandomGenerator(seed, 'calibration')
  const evaluations: ScoredEvaluation[] = Array.from({ length: 25 }, () => {
    return { heldOut: Math.abs(random.normal()), honest: undefined }
  })
  let [inside, asked] = [0, 0]
  for (let round = 0; round < 8; round++) {
    const intervalScale = calibrateInterval(evaluations)
    for (let k = 0; k < 9; k++) {
      const score = deviation(round) * Math.abs(random.normal())
      evaluations.push({ heldOut: score, honest: { score, intervalScale } })
      if (round === 0) continue
      asked++
      if (score <= intervalScale) inside++
    }
  }
  return inside / asked
}

const meanCoverage = (deviation: (round: number) => number) =>
  Array.from({ length: 40 }, (_, seed) => coverageOfRounds(deviation, seed)).reduce((sum, value) => sum + value, 0) / 40

describe('the interval of a search that goes on', () => {
  it.each([
    { name: 'the deviation is right', deviation: () => 1 },
    { name: 'the deviation is three times too large', deviation: () => 1 / 3 },
    { name: 'the deviation is three times too small', deviation: () => 3 },
    { name: 'predictions get worse round by round', deviation: (round: number) => 1 + round / 4 },
    { name: 'predictions get better round by round', deviation: (round: number) => 1 / (1 + round / 4) },
  ])('holds 85 to 95 % of the later rounds when $name', ({ deviation }) => {
    const coverage = meanCoverage(deviation)
    expect(coverage).toBeGreaterThan(0.85)
    expect(coverage).toBeLessThan(0.95)
  })

  it('does not swing where the policies of a long round err together', () => {
    const scaleAfter = (roundErrors: readonly number[]) => {
      const random = createRandomGenerator(1, 'together')
      const evaluations: ScoredEvaluation[] = []
      for (const error of [...new Array(8).fill(1), ...roundErrors]) {
        for (let k = 0; k < 30; k++) {
          const score = error * Math.abs(random.normal())
          evaluations.push({ heldOut: score, honest: { score, intervalScale: 1.645 } })
        }
      }
      return calibrateInterval(evaluations)
    }
    const usual = scaleAfter([1])
    expect(scaleAfter([0.2]) / usual).toBeGreaterThan(0.6)
    expect(scaleAfter([0.2, 0.2, 0.2, 0.2, 0.2, 0.2]) / usual).toBeLessThan(0.5)
  })

  it('is wider after misses than after hits', () => {
    const heldOut = Array.from({ length: 10 }, (_, k) => ({ heldOut: k / 5, honest: undefined }))
    const after = (intervalScale: number) => {
      const honest: HonestScore[] = Array.from({ length: 20 }, (_, k) => ({ score: k / 10, intervalScale }))
      return calibrateInterval([...heldOut, ...honest.map((score) => ({ heldOut: 0, honest: score }))])
    }
    expect(after(0.5)).toBeGreaterThan(after(5))
  })
})

it('scores an earlier prediction on the scale of the predictor', () => {
  const dense = 3
  const logPerplexity = (t: number) => dense + Math.exp(t) - 0.01
  const predicted = { logPerplexity: logPerplexity(-2), low: logPerplexity(-2.4), high: logPerplexity(-1.6) }
  const set = createTrainingSet(
    [4],
    [
      { purpose: 'dense', kept: [4], logPerplexity: dense },
      {
        purpose: 'proposal',
        kept: [2],
        logPerplexity: logPerplexity(-1.5),
        predicted: { ...predicted, intervalScale: 2 },
      },
    ],
  )
  expect(set.honestScores[0]).toBeUndefined()
  expect(set.honestScores[1]?.score).toBeCloseTo(0.5 / 0.2, 9)
})
