import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { comparePolicies, countSharedModules } from './shared-modules.js'

const policies = fc.array(fc.array(fc.subarray([0, 1, 2]), { minLength: 4, maxLength: 4 }), { maxLength: 8 })

describe('first modules in common', () => {
  it('are counted up to the first that differs, of kept units and of indices', () => {
    expect(countSharedModules([3, 5, 2], [3, 5, 1])).toBe(2)
    expect(countSharedModules([[0], [1, 2]], [[0], [1, 3]])).toBe(1)
    expect(countSharedModules([[0], [1, 2]], [[0], [1, 2]])).toBe(2)
    expect(countSharedModules([[0]], [[]])).toBe(0)
  })

  it('are most with a neighbour when policies are in order', () => {
    fc.assert(
      fc.property(policies, (unordered) => {
        const ordered = [...unordered].sort(comparePolicies)
        ordered.forEach((policy, index) => {
          const shared = (other: number[][] | undefined) => (other ? countSharedModules(policy, other) : 0)
          const earlier = ordered.slice(0, index).map(shared)
          expect(Math.max(0, ...earlier)).toBe(shared(ordered[index - 1]))
        })
      }),
    )
  })
})
