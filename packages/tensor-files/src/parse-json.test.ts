import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { parseJson } from './parse-json.js'

describe('parseJson', () => {
  it('gives what JSON.parse gives, whatever stands in strings', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'binary' }), (value, text) => {
        const json = JSON.stringify({ value, text, [`{"[${text}`]: '\\"' })
        expect(parseJson(json, { uniqueNames: true })).toEqual(JSON.parse(json))
      }),
    )
  })

  it('finds a name given twice at any depth and however it is written', () => {
    const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(names, fc.nat(), fc.boolean(), (all, at, escaped) => {
        const name = all[at % all.length] ?? ''
        const code = name.charCodeAt(0).toString(16).padStart(4, '0')
        const again = escaped ? `"\\u${code}${JSON.stringify(name.slice(1)).slice(1)}` : JSON.stringify(name)
        const object = JSON.stringify(Object.fromEntries(all.map((key) => [key, [{ [key]: 1 }]])))
        const json = `[{"inner":${object.slice(0, -1)},${again}:0}}]`
        expect(() => parseJson(json, { uniqueNames: true })).toThrow(SyntaxError)
        expect(parseJson(json)).toEqual(JSON.parse(json))
      }),
    )
  })

  it('refuses what is nested too deep before it is built, and what is no JSON', () => {
    for (const bomb of ['['.repeat(1e6), '{"a":'.repeat(1e6), `${'['.repeat(65)}${']'.repeat(65)}`]) {
      expect(() => parseJson(bomb)).toThrow('deeper than 64 levels')
    }
    expect(parseJson(`${'['.repeat(64)}${']'.repeat(64)}`)).toHaveLength(1)
    for (const text of ['', '"', '"\\', '{', ']', '{"a":1,}', '\\"{"'])
      expect(() => parseJson(text)).toThrow(SyntaxError)
  })
})
