import type { ModelShape } from '@espalier/contracts'
import { createPrunableModel, sparsityOf, uniformPolicy } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { maskAgreement, meanAgreement } from './mask-agreement.js'
import { tieModules } from './tie-modules.js'

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 4, hiddenSize: 32, queryHeads: 4, kvHeads: 4, headDim: 8, ffnChannels: 64 },
  ...{ vocabularySize: 64, maxPositions: 64, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 100_000, weightBytes: 400_000 },
}
const model = createPrunableModel(shape)
const unitsOf = (count: number, first = 0) => Array.from({ length: count }, (_, index) => first + index)
const all = model.modules.map(({ units }) => unitsOf(units))

describe('agreement of masks', () => {
  it('weighs units by their parameters', () => {
    expect(maskAgreement(model, all, all)).toEqual({ equal: 1, keptByBoth: 1 })
    const lessOne = all.map((units, index) => (index === 0 ? units.slice(1) : units))
    const group = (model.modules[0]?.parametersPerUnit ?? 0) / model.prunableParameters
    expect(maskAgreement(model, all, lessOne)).toEqual({ equal: 1 - group, keptByBoth: 1 - group })
  })

  it('is the same either way, and nothing for opposites', () => {
    const [low, high] = [0, 1].map((half) => model.modules.map(({ units }) => unitsOf(units / 2, (half * units) / 2)))
    expect(maskAgreement(model, low ?? [], high ?? [])).toEqual({ equal: 0, keptByBoth: 0 })
    expect(meanAgreement(model, [low ?? [], high ?? [], low ?? []])).toEqual({ equal: 1 / 3, keptByBoth: 1 / 3 })
    expect(meanAgreement(model, [all])).toEqual({ equal: 1, keptByBoth: 1 })
  })
})

describe('tied layers', () => {
  it.each([1, 2, 4])('%i alike: a policy of the tied model has the sparsity of the whole one', (layers) => {
    const tied = tieModules(model, layers)
    expect(tied.model.modules).toHaveLength((2 * 4) / layers)
    const kept = uniformPolicy(tied.model, 0.4)
    const expanded = tied.expand(kept)
    expect(expanded).toHaveLength(model.modules.length)
    expect(sparsityOf(model, expanded)).toBeCloseTo(sparsityOf(tied.model, kept), 12)
    for (const { layer, index } of model.modules) {
      expect(expanded[index]).toBe(expanded[2 * layers * Math.floor(layer / layers) + (index % 2)])
    }
  })
})
