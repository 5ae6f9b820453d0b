import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { showValue } from './show-value.js'

describe('showValue', () => {
  it('is short and printable, whatever the value', () => {
    fc.assert(
      fc.property(fc.anything(), fc.string({ unit: 'binary', maxLength: 1000 }), (value, text) => {
        for (const shown of [showValue(value), showValue(text), showValue({ [text]: [text] })]) {
          expect(shown.length).toBeLessThan(250)
          expect(shown).not.toMatch(/[\p{Cc}\p{Cs}]/u)
        }
      }),
    )
  })

  it('shows small values whole and cuts large and deep ones', () => {
    expect(showValue({ type: 'yarn', factor: [4, null, true] })).toBe('{"type":"yarn","factor":[4,null,true]}')
    expect(showValue('as it stands')).toBe('as it stands')
    expect(showValue(undefined)).toBe('nothing')
    const deep = Array.from({ length: 1e5 }).reduce<unknown>((inner) => [inner], 0)
    expect(showValue(deep)).toBe('[[[[...]]]]')
    expect(showValue(Array.from({ length: 1e6 }, () => 1))).toBe('[1,1,1,1,1,1,1,1,...]')
  })
})
