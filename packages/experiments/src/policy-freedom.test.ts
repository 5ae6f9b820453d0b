import type { ModelShape } from '@espalier/contracts'
import { createPrunableModel } from '@espalier/pruning'
import { expect, it } from '@jest/globals'
import { createFreedoms, drawRandoms, drawUnprojected, shareValid } from './policy-freedom.js'

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 4, hiddenSize: 32, queryHeads: 4, kvHeads: 4, headDim: 8, ffnChannels: 64 },
  ...{ vocabularySize: 64, maxPositions: 64, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 100_000, weightBytes: 400_000 },
}
const model = createPrunableModel(shape)
const freedoms = createFreedoms({ model, shape }, [0.2, 0.5], 8)

it('goes from two counts to one a block', () => {
  expect(freedoms.map(({ counts }) => counts)).toEqual([2, 4, 8, 8])
})

it.each(freedoms)('$name: what is projected is valid, what is drawn anyhow is not', (freedom) => {
  const uniform = freedom.rules.targets.map((target) => [target.uniform()])
  expect(shareValid(freedom, uniform)).toBe(1)
  expect(shareValid(freedom, drawRandoms(freedom, 50, 1))).toBe(1)
  expect(shareValid(freedom, drawUnprojected(freedom, 50, 1))).toBeLessThan(0.2)
})

it('counts a policy as invalid for each thing that may be wrong', () => {
  const [full, constrained] = freedoms.slice(2)
  if (!full || !constrained) throw new Error('both are there')
  const uniform = [...(full.rules.targets[0]?.uniform() ?? [])]
  const changed = (module: number, units: number) => uniform.map((count, m) => (m === module ? units : count))
  for (const wrong of [changed(1, 0), changed(1, 65), changed(3, 1.5), changed(1, 63), uniform.slice(2)]) {
    expect(shareValid(full, [[wrong]])).toBe(0)
  }
  // frozen first layer, blocks that must stay, multiples, sparsity
  const valid = [...(constrained.rules.targets[0]?.uniform() ?? [])]
  const broken = (module: number, units: number) => valid.map((count, m) => (m === module ? units : count))
  for (const wrong of [broken(0, 3), broken(2, 0), broken(3, 13), valid.map((_, m) => (m % 2 === 0 ? 4 : 64))]) {
    expect(shareValid(constrained, [[wrong]])).toBe(0)
  }
})
