import { readFileSync } from 'node:fs'
import { evaluationsFileSchema } from '@espalier/contracts'
import { createEvaluationSet, intervalCoverage, meanAbsoluteError, trainPredictor } from '@espalier/predictor'
import { expect, it } from '@jest/globals'
import { comparePredictors } from './compare-predictors.js'

const path = new URL('../../predictor/fixtures/policies-demo.json', import.meta.url)
const set = createEvaluationSet(evaluationsFileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))))

it('trains on the first evaluations, then on seeded draws, and judges by all others', async () => {
  let ticks = 0
  const compare = (draws: number) =>
    comparePredictors({
      ...{ set, draws, seed: 5, trainSizes: [40, 80], predictors: ['curve', 'linear', 'sparsity'] },
      now: () => ticks++,
    })
  const results = await compare(2)
  expect(results.map(({ trainSize, predictor, heldOut }) => [trainSize, predictor, heldOut])).toEqual([
    ...['curve', 'linear', 'sparsity'].map((predictor) => [40, predictor, 577]),
    ...['curve', 'linear', 'sparsity'].map((predictor) => [80, predictor, 537]),
  ])
  for (const { runs, trainingSeconds, withinBinSpearman } of results) {
    expect(runs.map(({ order }) => order)).toEqual(['file', 'draw 1', 'draw 2'])
    expect(trainingSeconds).toBe(1)
    const values = runs.map((run) => run.withinBinSpearman ?? Number.NaN)
    expect(new Set(values).size).toBe(3)
    expect(withinBinSpearman).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / 3, 12)
  }
  expect(await compare(2)).toEqual(results)

  const { model, rankings, evaluations } = set
  const predictor = trainPredictor({ model, rankings, evaluations: evaluations.slice(0, 40), seed: 5 })
  const rest = evaluations.slice(40)
  const measured = rest.map(({ logPerplexity }) => logPerplexity)
  const predictions = rest.map(({ kept }) => predictor.predict(kept))
  const first = (await compare(0))[0]
  expect(first?.runs).toHaveLength(1)
  expect(first?.intervalCoverage).toBe(intervalCoverage(measured, predictions))
  const predicted = predictions.map(({ logPerplexity }) => logPerplexity)
  expect(first?.meanAbsoluteError).toBe(meanAbsoluteError(measured, predicted))

  const within = (kind: string) => results.find((result) => result.predictor === kind)?.withinBinSpearman ?? 0
  expect(within('curve')).toBeGreaterThan(within('linear'))
  expect(within('linear')).toBeGreaterThan(within('sparsity'))
})

it('refuses to train on so many that nothing is left to predict', async () => {
  const task = comparePredictors({
    set,
    draws: 0,
    seed: 1,
    trainSizes: [30, 608],
    predictors: ['linear'],
    now: () => 0,
  })
  await expect(task).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
    message: expect.stringMatching(/on 608 evaluations .* at most 607 of 617/),
  })
})
