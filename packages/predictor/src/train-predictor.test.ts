import { createRandomGenerator, rankUnits } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createModel, drawDemoEvaluations } from './demo-evaluations.test-support.js'
import { intervalCoverage, meanAbsoluteError, withinBinSpearman } from './metrics.js'
import { predictorFromJSON } from './predictor-from-json.js'
import { trainPredictor } from './train-predictor.js'
import type { TrainingEvaluation } from './training-set.js'

const binEdges = [0, 0.15, 0.3, 0.45, 0.63]

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

describe('a predictor of the bundled model', () => {
  it.each([
    { size: 30, spearman: 0.93, error: 0.1 },
    { size: 60, spearman: 0.95, error: 0.045 },
    { size: 120, spearman: 0.96, error: 0.03 },
    { size: 240, spearman: 0.97, error: 0.024 },
  ])('ranks unseen policies of one sparsity from $size evaluations', ({ size, spearman, error }) => {
    const { options, heldOut } = drawDemoEvaluations(size, 1)
    const predictor = trainPredictor(options)
    const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
    const predicted = heldOut.map(({ kept }) => predictor.predict(kept).logPerplexity)
    const sparsities = heldOut.map(({ sparsity }) => sparsity)
    expect(withinBinSpearman(measured, predicted, sparsities, binEdges)).toBeGreaterThan(spearman)
    expect(meanAbsoluteError(measured, predicted)).toBeLessThan(error)
    expect(predictor.summary.evaluations).toBe(size)
  })

  it('adds a residual process where it pays, and only if it may', () => {
    const samplesOf = (size: number, withResidual?: boolean) => {
      const { options } = drawDemoEvaluations(size, 1)
      const given = withResidual === undefined ? options : { ...options, withResidual }
      return trainPredictor(given).summary.residualSamples
    }
    const policies = 240 - 17
    expect([samplesOf(240), samplesOf(240, false), samplesOf(20)]).toEqual([policies, 0, 0])
  })

  it('says honestly how far it may be off', () => {
    const coverages = [40, 80, 160].flatMap((size) =>
      [1, 2, 3, 4].map((draw) => {
        const { options, heldOut } = drawDemoEvaluations(size, draw)
        const predictor = trainPredictor(options)
        const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
        return intervalCoverage(
          measured,
          heldOut.map(({ kept }) => predictor.predict(kept)),
        )
      }),
    )
    const mean = coverages.reduce((sum, coverage) => sum + coverage, 0) / coverages.length
    expect(mean).toBeGreaterThan(0.85)
    expect(mean).toBeLessThan(0.95)
  })

  it('learns as much from probes on a quarter of the windows, whose cost pays for other policies', () => {
    const spread = 0.28
    const errors = [1, 2, 3].map((draw) => {
      const full = drawDemoEvaluations(20, draw)
      const longer = drawDemoEvaluations(32, draw).options
      const dense = longer.evaluations[0]
      const evaluations = longer.evaluations.map((evaluation) => {
        if (evaluation.purpose !== 'probe' || !dense) return evaluation
        const rise = evaluation.quarter - dense.quarter
        const deviation = spread * (Math.max(rise, 0) + 0.01)
        return { ...evaluation, logPerplexity: dense.logPerplexity + rise, deviation }
      })
      const measured = full.heldOut.map(({ logPerplexity }) => logPerplexity)
      const errorOf = (options: Parameters<typeof trainPredictor>[0]) => {
        const predictor = trainPredictor(options)
        return meanAbsoluteError(
          measured,
          full.heldOut.map(({ kept }) => predictor.predict(kept).logPerplexity),
        )
      }
      const unknown = evaluations.map((evaluation) => ({ ...evaluation, deviation: 0 }))
      return [errorOf(full.options), errorOf({ ...longer, evaluations }), errorOf({ ...longer, evaluations: unknown })]
    })
    const [full, cheap, unknown] = [0, 1, 2].map((kind) => errors.reduce((sum, error) => sum + (error[kind] ?? 0), 0))
    expect(cheap).toBeLessThan(full ?? 0)
    expect(cheap).toBeLessThan(unknown ?? 0)
  })

  it('draws scorers that differ as much as it does not know', () => {
    const deviationsAfter = (size: number) => {
      const { options, heldOut } = drawDemoEvaluations(size, 1)
      const predictor = trainPredictor(options)
      const random = createRandomGenerator(1, 'draws')
      const draws = Array.from({ length: 60 }, () => predictor.drawScorer?.(random))
      return heldOut.slice(0, 60).map(({ kept }) => {
        const { logPerplexity, standardDeviation } = predictor.predict(kept)
        const squares = draws.map((score) => ((score?.(kept) ?? Number.NaN) - logPerplexity) ** 2)
        return { drawn: Math.sqrt(average(squares)), predicted: standardDeviation }
      })
    }
    const [few, many] = [deviationsAfter(30), deviationsAfter(240)]
    // The predicted deviation holds the noise too, which no draw has.
    for (const { drawn, predicted } of [...few, ...many]) expect(drawn).toBeLessThan(1.5 * predicted)
    expect(average(few.map(({ drawn, predicted }) => drawn / predicted))).toBeGreaterThan(0.5)
    expect(average(many.map(({ drawn }) => drawn))).toBeLessThan(0.5 * average(few.map(({ drawn }) => drawn)))
  })

  it('draws the same from the same random numbers, and after it was stored', () => {
    const { options, heldOut } = drawDemoEvaluations(60, 1)
    const predictor = trainPredictor(options)
    const revived = predictorFromJSON(JSON.parse(JSON.stringify(predictor)))
    const [one, other] = [predictor, revived].map((each) => each.drawScorer?.(createRandomGenerator(3, 'draws')))
    for (const { kept } of heldOut) expect(other?.(kept)).toBe(one?.(kept))
  })

  it('is the same again from the same evaluations, and from its JSON', () => {
    const { options, heldOut } = drawDemoEvaluations(240, 2)
    const predictor = trainPredictor(options)
    const json = JSON.stringify(predictor)
    expect(JSON.stringify(trainPredictor(options))).toBe(json)
    const revived = predictorFromJSON(JSON.parse(json))
    expect(revived.summary).toEqual(predictor.summary)
    expect(JSON.stringify(revived)).toBe(json)
    const [score, revivedScore] = [predictor.createScorer(), revived.createScorer()]
    for (const { kept } of heldOut) {
      expect(revived.predict(kept)).toEqual(predictor.predict(kept))
      expect(score(kept)).toBe(predictor.predict(kept).logPerplexity)
      expect(revivedScore(kept)).toBe(score(kept))
    }
    expect(Buffer.compare(revived.toOnnx(), predictor.toOnnx())).toBe(0)
  })
})

/** Any model of one to three layers with any evaluations, sensible or not. */
const anyTraining = fc
  .record({
    layers: fc.integer({ min: 1, max: 3 }),
    kvHeads: fc.integer({ min: 1, max: 4 }),
    ffnChannels: fc.integer({ min: 1, max: 30 }),
    zeroImportance: fc.boolean(),
    seed: fc.integer({ min: 0, max: 1000 }),
    values: fc.array(
      fc.record({
        purpose: fc.constantFrom('dense', 'uniform', 'probe', 'random', 'proposal'),
        logPerplexity: fc.double({ min: -2, max: 60, noNaN: true }),
      }),
      { minLength: 1, maxLength: 40 },
    ),
  })
  .map(({ layers, kvHeads, ffnChannels, zeroImportance, seed, values }) => {
    const model = createModel(layers, kvHeads, ffnChannels)
    const random = createRandomGenerator(seed, 'any')
    const rankings = model.modules.map(({ units }) =>
      rankUnits(Float64Array.from({ length: units }, () => (zeroImportance ? 0 : random.uniform() ** 8))),
    )
    const randomKept = () => model.modules.map(({ units }) => random.integer(units + 1))
    const dense = model.modules.map(({ units }) => units)
    const keptOf = (purpose: string) => {
      if (purpose === 'dense') return dense
      const probed = random.integer(dense.length)
      return purpose === 'probe' ? dense.with(probed, Math.floor((dense[probed] ?? 0) / 2)) : randomKept()
    }
    const evaluations = values.map(({ purpose, logPerplexity }): TrainingEvaluation => {
      return { purpose, kept: keptOf(purpose), logPerplexity }
    })
    return { options: { model, rankings, evaluations, seed }, policies: Array.from({ length: 10 }, randomKept) }
  })

describe('a predictor that was stored', () => {
  it('by a version that grew trees is the curve that they were added to', () => {
    const { options, heldOut } = drawDemoEvaluations(240, 1)
    const curve = trainPredictor({ ...options, withResidual: false })
    const { residual: _, ...fields } = JSON.parse(JSON.stringify(curve))
    const forest = { roots: [0], features: [-1], thresholds: [0], left: [0], values: [0.1] }
    const revived = predictorFromJSON({ ...fields, format: 'espalier-predictor/1', forest })
    for (const { kept } of heldOut) expect(revived.predict(kept)).toEqual(curve.predict(kept))
    expect(JSON.stringify(revived)).toBe(JSON.stringify(curve))
  })

  it('is refused where its residual process does not fit its modules', () => {
    const json = JSON.parse(JSON.stringify(trainPredictor(drawDemoEvaluations(240, 1).options)))
    const { residual } = json
    const broken = { ...json, residual: { ...residual, weights: residual.weights.slice(1) } }
    expect(() => predictorFromJSON(broken)).toThrow(/residual.kept has 3568 numbers, expected 3552/)
    expect(() => predictorFromJSON({ ...json, residual: { ...residual, noise: [1] } })).toThrow(/residual.noise has 1/)
  })
})

describe('a predictor of any model from any evaluations', () => {
  it('gives finite numbers in order, by table and by prediction alike', () => {
    fc.assert(
      fc.property(anyTraining, ({ options, policies }) => {
        const predictor = trainPredictor(options)
        const score = predictor.createScorer()
        const dense = options.model.modules.map(({ units }) => units)
        for (const kept of [...policies, dense, dense.map(() => 0)]) {
          const { logPerplexity, standardDeviation, low, high } = predictor.predict(kept)
          for (const value of [logPerplexity, standardDeviation, low, high]) expect(Number.isFinite(value)).toBe(true)
          expect(low).toBeLessThanOrEqual(logPerplexity)
          expect(high).toBeGreaterThanOrEqual(logPerplexity)
          expect(standardDeviation).toBeGreaterThanOrEqual(0)
          expect(score(kept)).toBe(logPerplexity)
        }
        expect(JSON.stringify(predictorFromJSON(JSON.parse(JSON.stringify(predictor))))).toBe(JSON.stringify(predictor))
      }),
      { numRuns: 150 },
    )
  })

  it('never predicts that removing more helps, as long as no residual says so', () => {
    const { options } = drawDemoEvaluations(25, 3)
    const predictor = trainPredictor(options)
    expect(predictor.summary.residualSamples).toBe(0)
    const score = predictor.createScorer()
    const start = options.model.modules.map(({ units }) => Math.ceil(0.8 * units))
    for (const { index, units } of options.model.modules) {
      let previous = score(start.with(index, units))
      for (let kept = units - 1; kept >= 0; kept--) {
        const next = score(start.with(index, kept))
        expect(next).toBeGreaterThanOrEqual(previous)
        previous = next
      }
    }
  })
})

describe('what is known about modules', () => {
  const model = createModel(2, 4, 64)
  const rankings = model.modules.map(({ units }) => rankUnits(new Float64Array(units).fill(1)))
  const dense = model.modules.map(({ units }) => units)
  const evaluation = (purpose: TrainingEvaluation['purpose'], kept: number[], rise: number): TrainingEvaluation => {
    return { purpose, kept, logPerplexity: 3 + rise }
  }
  const train = (...evaluations: TrainingEvaluation[]) => trainPredictor({ model, rankings, evaluations, seed: 1 })
  const riseOf = (predictor: ReturnType<typeof train>, kept: number[]) => predictor.predict(kept).logPerplexity - 3

  it('a probe says which module hurts', () => {
    const [weak, strong] = [dense.with(1, 32), dense.with(3, 32)]
    const predictor = train(
      evaluation('dense', dense, 0),
      evaluation('probe', weak, 0.02),
      evaluation('probe', strong, 0.3),
    )
    expect(riseOf(predictor, weak)).toBeCloseTo(0.02, 2)
    expect(riseOf(predictor, strong)).toBeGreaterThan(0.2)
    expect(riseOf(predictor, dense.with(3, 48))).toBeGreaterThan(riseOf(predictor, dense.with(1, 48)))
  })

  it('the probe of a block is shared among its modules', () => {
    const block = dense.with(1, 32).with(3, 32)
    const predictor = train(evaluation('dense', dense, 0), evaluation('probe', block, 0.4))
    expect(riseOf(predictor, block)).toBeGreaterThan(0.25)
    expect(riseOf(predictor, block)).toBeLessThan(0.55)
    const half = riseOf(predictor, dense.with(1, 32))
    expect(half).toBeGreaterThan(0.12)
    expect(half).toBeLessThan(0.3)
    expect(riseOf(predictor, dense.with(3, 32))).toBeCloseTo(half, 6)
  })

  it('final and test measurements, made by another protocol, are left out', () => {
    const learnt = [evaluation('dense', dense, 0), evaluation('random', dense.with(1, 10), 0.4)]
    const other = [evaluation('final', dense.with(3, 10), 9), evaluation('test', dense.with(0, 1), 9)]
    expect(JSON.stringify(train(...learnt, ...other))).toBe(JSON.stringify(train(...learnt)))
  })

  it('what cannot be learnt from is refused', () => {
    const code = (value: string) => expect.objectContaining({ code: value })
    expect(() => train()).toThrow(code('REQUEST_INVALID'))
    expect(() => train(evaluation('dense', dense, Number.NaN))).toThrow(code('EVALUATION_NOT_FINITE'))
    expect(() => train(evaluation('random', [1], 0))).toThrow(code('POLICY_LAYER_COUNT'))
    expect(() => train(evaluation('random', dense.with(0, 5), 0))).toThrow(code('POLICY_UNIT_OUT_OF_RANGE'))
    const predictor = train(evaluation('dense', dense, 0))
    expect(() => predictor.predict(dense.with(1, 1.5))).toThrow(code('POLICY_UNIT_OUT_OF_RANGE'))
    const json = predictor.toJSON()
    expect(() => predictorFromJSON({ ...json, parameters: [1] })).toThrow(/parameters has 1 numbers, expected/)
    expect(() => predictorFromJSON({ ...json, noise: 'little' })).toThrow(/noise/)
    expect(() => predictorFromJSON({ ...json, format: 'other' })).toThrow(code('INTERNAL'))
  })
})
