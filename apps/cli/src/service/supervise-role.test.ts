import { describe, expect, it } from '@jest/globals'
import { createBackoff } from './backoff.js'
import { findServiceLine } from './service-line.js'

describe('a role that ends', () => {
  it('is started again after 0.2 s, then 5 s at most, and soon again once it has worked a while', () => {
    let nowMs = 0
    const backoff = createBackoff(() => nowMs)
    const pauses = Array.from({ length: 7 }, () => {
      backoff.started()
      return backoff.next()
    })
    expect(pauses).toEqual([200, 400, 800, 1600, 3200, 5000, 5000])
    backoff.started()
    nowMs += 11_000
    expect(backoff.next()).toBe(200)
  })

  it('is heard only where a person need know', () => {
    const line = (record: unknown) => findServiceLine('api', JSON.stringify(record))
    expect(line({ level: 'info', msg: 'ready' })).toEqual({ source: 'api', level: 'info', message: 'ready' })
    expect(line({ level: 'info', msg: 'request completed', reqId: 'r' })).toBeUndefined()
    expect(line({ level: 'debug', msg: 'x' })).toBeUndefined()
    expect(findServiceLine('api', 'Error: at x')).toBeUndefined()
    expect(line({ level: 'fatal', msg: 'no start', err: { message: 'taken\nstack' }, searchId: 's' })).toEqual({
      source: 'api',
      level: 'error',
      message: 'no start: taken (search s)',
    })
  })
})
