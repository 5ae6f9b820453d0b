import { EspalierError, type PolicyFile, policyFileSchema } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { modelShape } from './model-shape.test-support.js'
import { createPolicyFile, needsRanking, resolvePolicyFile } from './policy-file.js'
import { createPrunableModel } from './prunable-model.js'
import { rankUnits } from './rank-units.js'
import { sparsityOf } from './sparsity.js'

const model = createPrunableModel(modelShape({ layers: 2, kvHeads: 3, queryHeads: 6, ffnChannels: 8 }))
const rankings = model.modules.map(({ units }) => rankUnits(Float64Array.from({ length: units }, (_, unit) => unit)))

function policy(keep: PolicyFile['keep']): PolicyFile {
  return { format: 'espalier-policy/1', metric: 'wanda', compensation: 'mean', keep }
}

function codeAndMessage(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof EspalierError) return `${error.code} ${error.message}`
    throw error
  }
  return 'nothing thrown'
}

describe('policy files', () => {
  it('come back as the counts they were made of, for every policy', () => {
    const counts = fc.tuple(...model.modules.map(({ units }) => fc.integer({ min: 0, max: units })))
    fc.assert(
      fc.property(counts, (kept) => {
        const file = policyFileSchema.parse(
          JSON.parse(JSON.stringify(createPolicyFile(model, kept, 'fluctuation', 'none', 'a'.repeat(64)))),
        )
        const resolved = resolvePolicyFile(file, model, rankings)
        expect(resolved.kept).toEqual(kept)
        expect(resolved.sparsity).toBe(sparsityOf(model, kept))
        // The ranking above makes the last units the most important ones.
        resolved.keptIndices.forEach((indices, index) => {
          const units = model.modules[index]?.units ?? 0
          expect(indices).toEqual(Array.from({ length: indices.length }, (_, i) => units - indices.length + i))
        })
      }),
    )
  })

  it('take arrays as they stand, without a ranking', () => {
    const file = policy([
      { kvGroups: [2, 0], ffnChannels: [] },
      { kvGroups: 3, ffnChannels: 0 },
    ])
    expect(needsRanking(file, model)).toBe(false)
    expect(resolvePolicyFile(file, model, null).keptIndices).toEqual([[0, 2], [], [0, 1, 2], []])
  })

  it.each([
    ['too few layers', [{ kvGroups: 3, ffnChannels: 8 }], /^POLICY_LAYER_COUNT .*1 entries.*2 layers/],
    [
      'too many groups',
      [
        { kvGroups: 4, ffnChannels: 8 },
        { kvGroups: 3, ffnChannels: 8 },
      ],
      /^POLICY_UNIT_OUT_OF_RANGE layer 0 attention keeps 4; .* 0 to 3/,
    ],
    [
      'an index outside',
      [
        { kvGroups: 3, ffnChannels: 8 },
        { kvGroups: 3, ffnChannels: [8] },
      ],
      /^POLICY_UNIT_OUT_OF_RANGE layer 1 feed-forward keeps unit 8; .* 0 to 7/,
    ],
    [
      'an index twice',
      [
        { kvGroups: [1, 1], ffnChannels: 8 },
        { kvGroups: 3, ffnChannels: 8 },
      ],
      /^POLICY_INVALID layer 0 attention names unit 1 twice/,
    ],
    [
      'a count without calibration',
      [
        { kvGroups: 3, ffnChannels: 8 },
        { kvGroups: 3, ffnChannels: 5 },
      ],
      /^POLICY_UNCALIBRATED layer 1 feed-forward .*calibration text/,
    ],
  ])('are refused with %s', (_, keep, message) => {
    expect(codeAndMessage(() => resolvePolicyFile(policy(keep), model, null))).toMatch(message)
  })

  it('are refused for another model', () => {
    const file = createPolicyFile(model, [3, 8, 3, 8], 'wanda', 'mean', 'one')
    expect(resolvePolicyFile(file, model, null, 'one').sparsity).toBe(0)
    expect(codeAndMessage(() => resolvePolicyFile(file, model, null, 'two'))).toMatch(/^POLICY_OTHER_MODEL .*one.*two/)
    expect(codeAndMessage(() => createPolicyFile(model, [3, 9, 3, 8], 'wanda', 'mean'))).toMatch(
      /^POLICY_UNIT_OUT_OF_RANGE/,
    )
  })
})
