import { describe, expect, it } from '@jest/globals'
import { tellModules } from './tell-activity.js'

describe('what a search says of work on its modules', () => {
  it('is the module it is at, and the time left once one is done', () => {
    let clock = 5_000
    let told = ''
    const tellModule = tellModules(
      (activity) => {
        told = activity
      },
      () => clock,
    )
    const at = (task: 'eliminate' | 'fit', done: number) => {
      tellModule({ task, done, modules: 60 })
      clock += 4_000
      return told
    }
    expect(at('eliminate', 0)).toBe('ranking units for the metric obs: module 1 of 60')
    expect(at('eliminate', 1)).toBe('ranking units for the metric obs: module 2 of 60, about 4 min left')
    expect(at('eliminate', 50)).toBe('ranking units for the metric obs: module 51 of 60, about 2 s left')
    // Modules of a policy that are fitted already are passed over.
    expect(at('fit', 7)).toBe('fitting the weights of a policy: module 8 of 60')
    expect(at('fit', 8)).toBe('fitting the weights of a policy: module 9 of 60, about 4 min left')
  })
})
