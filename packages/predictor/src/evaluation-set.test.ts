import { readFileSync } from 'node:fs'
import { type EvaluationsFile, evaluationsFileSchema } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { createEvaluationSet } from './evaluation-set.js'

const path = new URL('../fixtures/policies-demo.json', import.meta.url)
const read = (): EvaluationsFile => evaluationsFileSchema.parse(JSON.parse(readFileSync(path, 'utf8')))

describe('a file of evaluations', () => {
  it('becomes what predictors are trained from', () => {
    const { model, rankings, evaluations } = createEvaluationSet(read())
    // 8 layers of 3 KV groups of 36,864 and 512 channels of 576 parameters.
    expect([model.layers, model.modules.length, model.prunableParameters]).toEqual([8, 16, 3_244_032])
    expect(rankings.map(({ order }) => order.length)).toEqual(Array.from({ length: 8 }, () => [3, 512]).flat())
    expect(evaluations).toHaveLength(617)
    expect(evaluations[0]).toMatchObject({ purpose: 'dense', sparsity: 0 })
  })

  it.each<{ problem: RegExp; change: (file: EvaluationsFile) => void }>([
    { problem: /importance\[3\] has 511 numbers; module 3 has 512 units/, change: (file) => file.importance[3]?.pop() },
    { problem: /importance is of 15 modules; the model has 16/, change: (file) => file.importance.pop() },
    {
      problem: /evaluations\[5\].keep has 7 layers; the model has 8/,
      change: (file) => file.evaluations[5]?.keep.pop(),
    },
    {
      problem: /evaluations\[20\].keep\[0\] keeps 4 attention units; the layer has 3/,
      change: ({ evaluations }) => Object.assign(evaluations[20]?.keep[0] ?? {}, { kvGroups: 4 }),
    },
    {
      problem: /evaluations\[1\].sparsity is 0.5; its kept units make it 0.0227/,
      change: ({ evaluations }) => Object.assign(evaluations[1] ?? {}, { sparsity: 0.5 }),
    },
    {
      problem: /model.modules\[1\] is layer 1 attention; expected layer 0 ffn/,
      change: ({ model }) => model.modules.splice(1, 1),
    },
  ])('that does not fit together is refused: $problem', ({ problem, change }) => {
    const file = read()
    change(file)
    const refusal = expect.objectContaining({ code: 'EVALUATIONS_INVALID', message: expect.stringMatching(problem) })
    expect(() => createEvaluationSet(file)).toThrow(refusal)
  })
})
