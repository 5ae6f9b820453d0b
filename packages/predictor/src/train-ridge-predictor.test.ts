import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { createModel, drawDemoEvaluations } from './demo-evaluations.test-support.js'
import { intervalCoverage, spearman, withinBinSpearman } from './metrics.js'
import { predictorFromJSON } from './predictor-from-json.js'
import { riseOfLog } from './rise.js'
import { trainLinearPredictor, trainSparsityPredictor } from './train-ridge-predictor.js'

const kinds = [
  { kind: 'linear', train: trainLinearPredictor },
  { kind: 'sparsity', train: trainSparsityPredictor },
]

describe.each(kinds)('the $kind predictor', ({ train }) => {
  it('is the same from its JSON, and scores what it predicts', () => {
    const { options, heldOut } = drawDemoEvaluations(60, 1)
    const predictor = train(options)
    const revived = predictorFromJSON(JSON.parse(JSON.stringify(predictor)))
    const score = revived.createScorer()
    for (const { kept } of heldOut) {
      expect(revived.predict(kept)).toEqual(predictor.predict(kept))
      expect(score(kept)).toBe(predictor.predict(kept).logPerplexity)
    }
    expect(() => predictor.predict([1])).toThrow(expect.objectContaining({ code: 'POLICY_LAYER_COUNT' }))
    expect(() => predictorFromJSON({ ...predictor.toJSON(), weights: [1] })).toThrow(/1 weights for 16 modules/)
  })

  it('says honestly how far it may be off', () => {
    const coverages = [1, 2, 3, 4, 5, 6].map((draw) => {
      const { options, heldOut } = drawDemoEvaluations(160, draw)
      const predictor = train(options)
      const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
      return intervalCoverage(
        measured,
        heldOut.map(({ kept }) => predictor.predict(kept)),
      )
    })
    const mean = coverages.reduce((sum, coverage) => sum + coverage, 0) / coverages.length
    expect(mean).toBeGreaterThan(0.85)
    expect(mean).toBeLessThan(0.95)
  })

  it('learns from a single evaluation that nothing is known', () => {
    const { options, heldOut } = drawDemoEvaluations(60, 1)
    const predictor = train({ ...options, evaluations: options.evaluations.slice(0, 1) })
    const { low, high } = predictor.predict(heldOut[0]?.kept ?? [])
    expect(high - low).toBeGreaterThan(0.01)
    expect(Number.isFinite(high)).toBe(true)
  })
})

it('a linear law of the kept shares is found exactly, one of the sparsity by both', () => {
  const model = createModel(3, 4, 50)
  const random = createRandomGenerator(4)
  const lawOf = (weights: readonly number[]) => (kept: readonly number[]) =>
    3 + riseOfLog(model.modules.reduce((sum, { units }, m) => sum - (weights[m] ?? 0) * ((kept[m] ?? 0) / units), 1))
  const uneven = lawOf(model.modules.map((_, m) => 0.2 + 0.3 * m))
  const policies = Array.from({ length: 80 }, () => model.modules.map(({ units }) => random.integer(units + 1)))
  const train = (law: typeof uneven, learn: typeof trainLinearPredictor) =>
    learn({
      model,
      evaluations: [
        { purpose: 'dense', kept: model.modules.map(({ units }) => units), logPerplexity: 3 },
        ...policies.slice(0, 40).map((kept) => ({ purpose: 'random' as const, kept, logPerplexity: law(kept) })),
      ],
    })
  const rank = (law: typeof uneven, learn: typeof trainLinearPredictor) => {
    const predictor = train(law, learn)
    const unseen = policies.slice(40)
    return spearman(
      unseen.map(law),
      unseen.map((kept) => predictor.predict(kept).logPerplexity),
    )
  }
  const even = lawOf(
    model.modules.map((module) => (5 * module.units * module.parametersPerUnit) / model.prunableParameters),
  )
  expect(rank(uneven, trainLinearPredictor)).toBeGreaterThan(0.999)
  expect(rank(uneven, trainSparsityPredictor)).toBeLessThan(0.9)
  expect(rank(even, trainSparsityPredictor)).toBeGreaterThan(0.99)
})

it('sparsity alone ranks across sparsities and hardly within one', () => {
  const { options, heldOut } = drawDemoEvaluations(120, 1)
  const sparsities = heldOut.map(({ sparsity }) => sparsity)
  const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
  const predictedBy = (train: typeof trainLinearPredictor) => {
    const score = train(options).createScorer()
    return heldOut.map(({ kept }) => score(kept))
  }
  const edges = [0, 0.15, 0.3, 0.45, 0.63]
  const [linear, sparsity] = [predictedBy(trainLinearPredictor), predictedBy(trainSparsityPredictor)]
  expect(spearman(measured, sparsity)).toBeGreaterThan(0.8)
  expect(withinBinSpearman(measured, sparsity, sparsities, edges)).toBeLessThan(0.65)
  expect(withinBinSpearman(measured, linear, sparsities, edges)).toBeGreaterThan(0.7)
})
