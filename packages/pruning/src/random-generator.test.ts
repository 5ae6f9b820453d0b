import { describe, expect, it } from '@jest/globals'
import { createRandomGenerator } from './random-generator.js'

describe('createRandomGenerator', () => {
  it('repeats itself for a seed and path and differs for any other', () => {
    const draw = (seed: number, ...path: (string | number)[]) => {
      const random = createRandomGenerator(seed, ...path)
      return Array.from({ length: 8 }, () => random.uniform())
    }
    expect(draw(1, 'propose', 3)).toEqual(draw(1, 'propose', 3))
    const others = [draw(1), draw(2), draw(1, 'propose', 3), draw(1, 'propose', 4), draw(1, 'propose', '3'), draw(13)]
    expect(new Set(others.map(String)).size).toBe(others.length)
    // A search must repeat on every machine: these numbers never change.
    expect(draw(1).slice(0, 2)).toEqual([0.23239863803610206, 0.8322760099545121])
  })

  it('draws with the moments and frequencies of its distributions', () => {
    const random = createRandomGenerator(7, 'moments')
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length
    const draws = 100_000
    const uniform = Array.from({ length: draws }, random.uniform)
    const normal = Array.from({ length: draws }, random.normal)
    expect(mean(uniform)).toBeCloseTo(0.5, 2)
    expect(mean(uniform.map((x) => x * x))).toBeCloseTo(1 / 3, 2)
    expect(Math.abs(mean(normal))).toBeLessThan(0.015)
    expect(mean(normal.map((x) => x * x))).toBeCloseTo(1, 1)
    expect(mean(normal.map((x) => x ** 4))).toBeCloseTo(3, 0)
    const first = Array.from({ length: 30_000 }, () => random.shuffle([0, 1, 2, 3])[0] ?? -1)
    for (const value of [0, 1, 2, 3]) {
      expect(first.filter((x) => x === value).length / 30_000).toBeCloseTo(0.25, 1)
    }
  })
})
