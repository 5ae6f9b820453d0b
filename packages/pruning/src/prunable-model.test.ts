import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { modelShape } from './model-shape.test-support.js'
import { createPrunableModel } from './prunable-model.js'
import { keptParametersOf, sparsityOf } from './sparsity.js'

describe('sparsity', () => {
  it('equals counting the weights of q, k, v, o, gate, up and down that a policy leaves', () => {
    const sizes = fc.record({
      layers: fc.integer({ min: 1, max: 3 }),
      kvHeads: fc.integer({ min: 1, max: 3 }),
      headDim: fc.integer({ min: 1, max: 4 }),
      hiddenSize: fc.integer({ min: 1, max: 5 }),
      ffnChannels: fc.integer({ min: 1, max: 6 }),
    })
    fc.assert(
      fc.property(
        sizes,
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
        (size, rep, draws) => {
          const shape = modelShape({ ...size, queryHeads: size.kvHeads * rep })
          const model = createPrunableModel(shape)
          const kept = model.modules.map(({ units, index }) => (draws[index] ?? 0) % (units + 1))
          const weightsOf = (counts: readonly number[]) => {
            let weights = 0
            for (let layer = 0; layer < shape.layers; layer++) {
              const groups = counts[2 * layer] ?? 0
              const channels = counts[2 * layer + 1] ?? 0
              const queryRows = groups * rep * shape.headDim
              const keyRows = groups * shape.headDim
              const rows = {
                q: queryRows,
                k: keyRows,
                v: keyRows,
                o: queryRows,
                gate: channels,
                up: channels,
                down: channels,
              }
              for (const count of Object.values(rows)) weights += count * shape.hiddenSize
            }
            return weights
          }
          const all = weightsOf(model.modules.map(({ units }) => units))
          expect(model.prunableParameters).toBe(all)
          expect(keptParametersOf(model, kept)).toBe(weightsOf(kept))
          expect(sparsityOf(model, kept)).toBeCloseTo(1 - weightsOf(kept) / all, 12)
        },
      ),
    )
  })

  it('is what other search methods measured for their policies of the bundled model', () => {
    const model = createPrunableModel(modelShape({}))
    expect(sparsityOf(model, [3, 512, 2, 512, 3, 83, 3, 409, 3, 279, 2, 395, 3, 460, 2, 512])).toBeCloseTo(
      0.1999289772727273,
      14,
    )
    expect(sparsityOf(model, [2, 469, 2, 339, 3, 126, 3, 101, 3, 408, 2, 82, 3, 368, 3, 424])).toBeCloseTo(
      0.34996448863636365,
      14,
    )
    expect(sparsityOf(model, [1, 429, 0, 166, 3, 50, 2, 476, 3, 1, 2, 157, 3, 227, 0, 414])).toBeCloseTo(0.5, 14)
  })
})
