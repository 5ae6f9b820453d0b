import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { growForest, valueOfForest } from './regression-trees.js'

const rows = Array.from({ length: 400 }, (_, i) => [i % 20, Math.floor(i / 20), 7])
const random = () => createRandomGenerator(1, 'trees')

describe('regression trees', () => {
  it('learn an interaction that no sum over features has', () => {
    const target = ([a = 0, b = 0]: readonly number[]) => (a > 9 === b > 9 ? 1 : -1)
    const forest = growForest(rows, Float64Array.from(rows, target), 64, random())
    for (const row of rows) expect(Math.sign(valueOfForest(forest, row))).toBe(target(row))
  })

  it('approach the targets, and the same ones with the same seed', () => {
    const targets = Float64Array.from(rows, ([a = 0, b = 0]) => Math.sin(a / 4) + b / 20)
    const grow = () => growForest(rows, targets, 64, random())
    const forest = grow()
    const errors = rows.map((row, i) => (targets[i] ?? 0) - valueOfForest(forest, row))
    expect(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length).toBeLessThan(0.01)
    expect(grow()).toEqual(forest)
  })

  it('add nothing where there is nothing to split', () => {
    const same = [[1], [1], [1], [1], [1], [1], [1]]
    const forest = growForest(same, new Float64Array(7), 3, random())
    expect(valueOfForest(forest, [5])).toBe(0)
    expect(valueOfForest(growForest(rows, new Float64Array(400), 0, random()), [1, 1, 1])).toBe(0)
  })
})
