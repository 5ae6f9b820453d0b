import { describe, expect, it } from '@jest/globals'
import { detectDrift } from './detect-drift.js'

describe('drift', () => {
  it.each([
    [0, 9, false],
    [2, 9, false],
    // P(X >= 3) = 0.053, P(X >= 4) = 0.008 for nine measurements.
    [3, 9, false],
    [4, 9, true],
    [1, 1, false],
    [2, 2, true],
    [3, 3, true],
    [1, 3, false],
    [0, 0, false],
    // P(X >= 625) = 0.19, P(X >= 645) = 0.028 for six thousand.
    [625, 6000, false],
    [645, 6000, true],
  ])('of %i misses in %i measurements: %s', (misses, count, expected) => {
    expect(detectDrift(misses, count)).toBe(expected)
  })
})
