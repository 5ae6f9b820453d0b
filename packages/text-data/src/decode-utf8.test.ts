import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { decodeUtf8, findInvalidByte } from './decode-utf8.js'

/** Node's own decoder, which stops at the first mistake but does not say where. */
const reference = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)

function referenceOrNull(bytes: Uint8Array): string | null {
  try {
    return reference(bytes)
  } catch {
    return null
  }
}

/** Good text, a few bytes that may break it, and more good text; long enough to fill several blocks at times. */
const someBytes = fc
  .tuple(fc.string({ unit: 'binary' }), fc.nat(40_000), fc.uint8Array({ maxLength: 4 }), fc.string({ unit: 'binary' }))
  .map(([start, repeats, middle, end]) =>
    Buffer.concat([Buffer.from(start), Buffer.from('aü€😀'.repeat(repeats)), middle, Buffer.from(end)]),
  )

describe('UTF-8', () => {
  it('is what the decoder of Node takes, and the first bad byte is where it stops', () => {
    fc.assert(
      fc.property(fc.oneof(someBytes, fc.uint8Array()), (bytes) => {
        const text = referenceOrNull(bytes)
        if (text !== null) {
          expect(decodeUtf8(bytes, 'f') === text).toBe(true)
          expect(findInvalidByte(bytes)).toBe(bytes.length)
          return
        }
        expect(() => decodeUtf8(bytes, 'f')).toThrow(expect.objectContaining({ code: 'TEXT_INVALID' }))
        const offset = findInvalidByte(bytes)
        expect(referenceOrNull(bytes.subarray(0, offset))).not.toBeNull()
        for (let end = offset + 1; end <= Math.min(bytes.length, offset + 4); end += 1) {
          expect(referenceOrNull(bytes.subarray(offset, end))).toBeNull()
        }
      }),
      { numRuns: 200 },
    )
  })
})
