import { createRandomGenerator, randomPolicy, rankUnits } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { createModel, drawDemoEvaluations } from './demo-evaluations.test-support.js'
import { meanAbsoluteError } from './metrics.js'
import { predictorFromJSON } from './predictor-from-json.js'
import { trainPredictor } from './train-predictor.js'
import type { TrainingEvaluation } from './training-set.js'

/** How damage grows with what is removed, and where in the depth it is large. */
interface Family {
  readonly exponent: number
  readonly slope: number
  /** Log damage of a whole module at relative depth x. */
  readonly profile: (x: number) => number
}
const family: Family = { exponent: 2.5, slope: 1.3, profile: (x) => 2.5 * Math.abs(x - 0.6) }
/** Deep where the others are flat, and harmless where they hurt. */
const opposite: Family = { exponent: 0.7, slope: 0.7, profile: (x) => -4 * Math.abs(x - 0.6) }

/** A model of a family, which differs from its siblings by what chance adds to each module. */
function createSibling({ exponent, slope, profile }: Family, layers: number, seed: number) {
  const model = createModel(layers, 4, 64)
  const random = createRandomGenerator(seed, 'sibling')
  const rankings = model.modules.map(({ units }) => rankUnits(new Float64Array(units).fill(1)))
  const levels = model.modules.map(
    ({ layer }) => profile(layer / (layers - 1)) + 0.2 * random.normal() - Math.log(layers),
  )
  const measure = (kept: readonly number[]) => {
    const sum = model.modules.reduce((total, { index, units }) => {
      return total + Math.exp(levels[index] ?? 0) * (1 - (kept[index] ?? 0) / units) ** exponent
    }, 0)
    return 3 + sum ** slope * Math.exp(0.02 * random.normal())
  }
  const evaluate = (purpose: TrainingEvaluation['purpose'], kept: readonly number[]): TrainingEvaluation => {
    return { purpose, kept, logPerplexity: measure(kept) }
  }
  const dense = model.modules.map(({ units }) => units)
  const draw = (count: number) =>
    Array.from({ length: count }, () => evaluate('random', randomPolicy(model, 0.2 + 0.3 * random.uniform(), random)))
  const probes = model.modules.map(({ index, units }) => evaluate('probe', dense.with(index, units / 2)))
  return { model, rankings, dense: evaluate('dense', dense), probes, draw, seed: 1 }
}

function errorOf(predictor: ReturnType<typeof trainPredictor>, unseen: readonly TrainingEvaluation[]): number {
  return meanAbsoluteError(
    unseen.map(({ logPerplexity }) => logPerplexity),
    unseen.map(({ kept }) => predictor.predict(kept).logPerplexity),
  )
}

function trainOn(
  sibling: ReturnType<typeof createSibling>,
  evaluations: readonly TrainingEvaluation[],
  related?: unknown,
) {
  return trainPredictor({ ...sibling, evaluations: [sibling.dense, ...evaluations], related })
}

/** What a search of a model of the family has learnt. */
function learnt(of: Family, layers: number) {
  const sibling = createSibling(of, layers, 77)
  return trainOn(sibling, [...sibling.probes, ...sibling.draw(150)]).toJSON()
}

const seeds = [1, 2, 3, 4, 5, 6]
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

describe('a predictor that may start from a related model', () => {
  it.each([
    { count: 8, atMost: 1 },
    { count: 20, atMost: 0.9 },
    { count: 40, atMost: 0.8 },
  ])('knows a sibling of another depth better from $count evaluations', ({ count, atMost }) => {
    const related = learnt(family, 12)
    const errors = seeds.map((seed) => {
      const sibling = createSibling(family, 8, seed)
      const [evaluations, unseen] = [sibling.draw(count), sibling.draw(100)]
      const warm = trainOn(sibling, evaluations, related)
      return { cold: errorOf(trainOn(sibling, evaluations), unseen), warm: errorOf(warm, unseen) }
    })
    for (const { cold, warm } of errors) expect(warm).toBeLessThan(1.05 * cold)
    expect(meanOf(errors.map(({ warm }) => warm))).toBeLessThan(atMost * meanOf(errors.map(({ cold }) => cold)))
  })

  it.each([8, 20])('is the cold one to the last bit where the other misleads, from %s evaluations', (count) => {
    const misleading = learnt(opposite, 12)
    for (const seed of seeds) {
      const sibling = createSibling(family, 8, seed)
      for (const probes of [[], sibling.probes]) {
        const evaluations = [...probes, ...sibling.draw(count)]
        const cold = JSON.stringify(trainOn(sibling, evaluations))
        expect(JSON.stringify(trainOn(sibling, evaluations, misleading))).toBe(cold)
      }
    }
  })

  it('is no worse on real measurements, whatever it was given to start from', () => {
    for (const related of [learnt(opposite, 12), learnt(family, 5)]) {
      for (const draw of [1, 2, 3, 6]) {
        const { options, heldOut } = drawDemoEvaluations(37, draw)
        const [cold, warm] = [trainPredictor(options), trainPredictor({ ...options, related })]
        expect(errorOf(warm, heldOut)).toBeLessThanOrEqual(errorOf(cold, heldOut))
      }
    }
  })

  it('says so, also from its JSON, and starts cold where nothing can be held out', () => {
    const related = learnt(family, 12)
    const sibling = createSibling(family, 8, 1)
    const warm = trainOn(sibling, sibling.draw(40), related)
    expect(warm.summary.related).toBe(true)
    const revived = predictorFromJSON(JSON.parse(JSON.stringify(warm)))
    expect(revived.summary).toEqual(warm.summary)
    expect(JSON.stringify(revived)).toBe(JSON.stringify(warm))
    const cold = trainOn(sibling, sibling.probes)
    expect(JSON.stringify(trainOn(sibling, sibling.probes, related))).toBe(JSON.stringify(cold))
  })
})
