import { expect, it } from '@jest/globals'
import { breakEvenTokens } from './break-even.js'
import { normalReach, relativeSpread } from './statistics.js'

it('gives spreads and normal quantiles', () => {
  expect(relativeSpread([9, 10, 11])).toBeCloseTo(0.2, 12)
  expect(normalReach(0.9)).toBeCloseTo(1.6449, 4)
  expect(normalReach(0.5)).toBeCloseTo(0.6745, 4)
})

it('finds when a policy has paid: 100 s, saved at 1 - 1/2 s a thousand tokens', () => {
  expect(breakEvenTokens(100, 1000, 2000)).toBeCloseTo(200_000, 6)
  expect(breakEvenTokens(100, 1000, 1000)).toBeNull()
  expect(breakEvenTokens(100, 1000, 900)).toBeNull()
})
