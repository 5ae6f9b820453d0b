import { describe, expect, it } from '@jest/globals'
import { ProgressMeter } from './progress-meter.js'
import { parseRetryAfterMs, retryTransient, TransientFailure } from './transient-failure.js'

const now = Date.parse('2026-01-01T00:00:00Z')

describe('parseRetryAfterMs', () => {
  it.each([
    [{ 'retry-after': '7' }, 7_000],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 00:00:00 GMT' }, 0],
    [{ ratelimit: '"resolvers";r=0;t=41' }, 41_000],
    [{ 'retry-after': 'soon' }, null],
    [{}, null],
  ])('reads %j', (headers, expected) => {
    expect(parseRetryAfterMs(new Headers(headers), now)).toBe(expected)
  })
})

describe('retryTransient', () => {
  const settings = { attempts: 3, backoffMs: 0, maxRetryAfterMs: 1000 }

  it('does not count attempts that brought something', async () => {
    let calls = 0
    let position = 0
    const work = retryTransient(
      async () => {
        if (++calls <= 20) position++
        throw new TransientFailure('cut')
      },
      'a file',
      settings,
      () => position,
    )
    await expect(work).rejects.toMatchObject({ code: 'MODEL_DOWNLOAD_FAILED' })
    // 20 that brought something; the last of them and two more are three in a row without.
    expect(calls).toBe(22)
  })

  it('passes what is not transient at once', async () => {
    let calls = 0
    const work = retryTransient(
      async () => {
        calls++
        throw new Error('for good')
      },
      'a file',
      settings,
    )
    await expect(work).rejects.toThrow('for good')
    expect(calls).toBe(1)
  })
})

describe('ProgressMeter', () => {
  it('gives the rate of the last seconds, and the time left', () => {
    let at = 0
    const meter = new ProgressMeter('a model', undefined, () => at)
    meter.expect(100_000)
    meter.expect(50_000)
    meter.skip(50_000)
    expect(meter.progress).toMatchObject({
      bytesDone: 50_000,
      bytesTotal: 150_000,
      bytesPerSecond: 0,
      etaSeconds: null,
    })
    // 20 s at 100 B/s, then 10 s at 1000 B/s: only the latter count.
    for (let second = 0; second < 30; second++) {
      at += 1000
      meter.add(second < 20 ? 100 : 1000)
    }
    expect(meter.progress.bytesPerSecond).toBeCloseTo(1000, -2)
    expect(meter.progress.etaSeconds).toBeCloseTo((150_000 - 62_000) / meter.progress.bytesPerSecond, 6)
    meter.add(-12_000)
    expect(meter.progress.bytesDone).toBe(50_000)
    meter.expect(null)
    expect(meter.progress).toMatchObject({ bytesTotal: null, etaSeconds: null })
  })
})
