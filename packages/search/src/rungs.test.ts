import { describe, expect, it } from '@jest/globals'
import { costOf, rungsOf } from './rungs.js'

const settings = { fidelity: 'auto', validationWindows: 16, windowLength: 256 } as const

describe('the rungs of a search', () => {
  it.each([
    { name: 'a quarter where a sixteenth is too few windows', change: {}, rungs: [16, 4] },
    { name: 'all three where there is text enough', change: { validationWindows: 64 }, rungs: [64, 16, 4] },
    { name: 'no short windows', change: { validationWindows: 64, windowLength: 64 }, rungs: [64, 16] },
    { name: 'one only where windows are few', change: { validationWindows: 8 }, rungs: [8] },
    { name: 'one only when full is asked for', change: { fidelity: 'full' as const }, rungs: [16] },
    { name: 'one only for searches from before there were rungs', change: { fidelity: undefined }, rungs: [16] },
  ])('are $name', ({ change, rungs }) => {
    expect(rungsOf({ ...settings, ...change })).toEqual(rungs)
  })
})

it('counts an evaluation by its windows, and a longer one as one', () => {
  expect([1, 4, 16, 200].map((windows) => costOf({ windows }, settings))).toEqual([1 / 16, 1 / 4, 1, 1])
})
