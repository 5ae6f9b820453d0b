import { describe, expect, it } from '@jest/globals'
import { retry } from './retry.js'

const failing = (times: number, error = new Error('away')) => {
  const calls = { count: 0 }
  return {
    calls,
    fn: async () => {
      calls.count++
      if (calls.count <= times) throw error
      return 'here'
    },
  }
}

describe('retry', () => {
  it('goes on while the error is of the kind, and gives the result', async () => {
    const { fn, calls } = failing(3)
    expect(await retry(fn, { attempts: 10, while: () => true, backoffMs: 1 })).toBe('here')
    expect(calls.count).toBe(4)
  })

  it('throws the last error after the last attempt, and at once for another kind', async () => {
    const spent = failing(9)
    await expect(retry(spent.fn, { attempts: 3, while: () => true, backoffMs: 1 })).rejects.toThrow('away')
    expect(spent.calls.count).toBe(3)
    const other = failing(9)
    await expect(retry(other.fn, { attempts: 3, while: () => false, backoffMs: 1 })).rejects.toThrow('away')
    expect(other.calls.count).toBe(1)
  })

  it('stops waiting when the signal aborts', async () => {
    const { fn, calls } = failing(9)
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 20)
    const options = { attempts: Number.POSITIVE_INFINITY, while: () => true, backoffMs: 60_000, maxBackoffMs: 60_000 }
    await expect(retry(fn, { ...options, signal: controller.signal })).rejects.toThrow('away')
    expect(calls.count).toBe(1)
  })
})
