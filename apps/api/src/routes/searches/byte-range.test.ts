import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { parseByteRange } from './byte-range.js'

describe('parseByteRange', () => {
  // the examples of RFC 9110, section 14.1.2, for 10,000 bytes
  it.each([
    ['bytes=0-499', { start: 0, end: 499 }],
    ['bytes=500-999', { start: 500, end: 999 }],
    ['bytes=-500', { start: 9500, end: 9999 }],
    ['bytes=9500-', { start: 9500, end: 9999 }],
    ['bytes=0-99999', { start: 0, end: 9999 }],
    ['bytes=-20000', { start: 0, end: 9999 }],
    ['bytes=0-0,-1', undefined],
    ['bytes=5-2', undefined],
    ['bytes=-', undefined],
    ['lines=1-2', undefined],
    [undefined, undefined],
  ])('reads %s', (header, range) => {
    expect(parseByteRange(header, 10_000)).toEqual(range)
  })

  it.each(['bytes=10000-', 'bytes=99999-100000', 'bytes=-0'])('refuses %s', (header) => {
    expect(() => parseByteRange(header, 10_000)).toThrow(/outside the file of 10000 bytes/)
  })

  it('never gives a range outside the file', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.nat(), fc.nat()).map(([first, last]) => `bytes=${first}-${last}`),
      fc.stringMatching(/^bytes=\d{0,25}-\d{0,25}$/),
    )
    fc.assert(
      fc.property(header, fc.nat(), (text, size) => {
        try {
          const range = parseByteRange(text, size)
          if (range) expect(0 <= range.start && range.start <= range.end && range.end < size).toBe(true)
        } catch (error) {
          expect(error).toMatchObject({ code: 'REQUEST_RANGE_INVALID' })
        }
      }),
    )
  })
})
