import { availableParallelism } from 'node:os'
import { describe, expect, it } from '@jest/globals'
import { countCpus, parseCpuQuota } from './count-cpus.js'

describe('countCpus', () => {
  it('reads the quota of a control group', () => {
    expect(parseCpuQuota('200000 100000\n')).toBe(2)
    expect(parseCpuQuota('50000 100000')).toBe(0.5)
    expect(parseCpuQuota('max 100000\n')).toBeNull()
    expect(parseCpuQuota('')).toBeNull()
  })

  it('never counts more than the machine gives', () => {
    expect(countCpus()).toBeGreaterThanOrEqual(1)
    expect(countCpus()).toBeLessThanOrEqual(availableParallelism())
  })
})
