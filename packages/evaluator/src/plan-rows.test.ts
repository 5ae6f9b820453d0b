import { expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { ScoredSequence } from './evaluator.js'
import { planRows } from './plan-rows.js'

/** Few different tokens, so that sequences often start each other. */
const sequence: fc.Arbitrary<ScoredSequence> = fc
  .array(fc.integer({ min: 1, max: 2 }), { minLength: 2, maxLength: 6 })
  .chain((ids) =>
    fc.integer({ min: 1, max: ids.length - 1 }).map((scoredTokens) => ({ ids: Int32Array.from(ids), scoredTokens })),
  )

it('gives every sequence the predictions of its own scored tokens', () => {
  fc.assert(
    fc.property(fc.array(sequence, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (all, rows) => {
      const batches = planRows(all, rows)
      const spans = batches.flatMap((batch) => batch.spans.map((span) => ({ ...span, batch })))
      expect(spans.map((span) => span.sequence).sort((a, b) => a - b)).toEqual(all.map((_, index) => index))
      for (const { sequence: index, row, from, to, batch } of spans) {
        const { ids, scoredTokens } = all[index] ?? { ids: new Int32Array(), scoredTokens: 0 }
        const found = batch.ids.subarray(row * batch.length, row * batch.length + to + 1)
        expect([...found]).toEqual([...ids])
        expect(to - from).toBe(scoredTokens)
      }
    }),
  )
})

it('computes no sequence that starts another one, and no more rows at once than allowed', () => {
  fc.assert(
    fc.property(fc.array(sequence, { minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (all, rows) => {
      const texts = [...new Set(all.map(({ ids }) => ids.join('')))]
      const needed = texts.filter((text) => !texts.some((other) => other !== text && other.startsWith(text)))
      const batches = planRows(all, rows)
      expect(batches.reduce((sum, batch) => sum + batch.rows, 0)).toBe(needed.length)
      expect(batches.reduce((sum, batch) => sum + batch.tokens, 0)).toBe(needed.join('').length)
      expect(Math.max(...batches.map((batch) => batch.rows))).toBeLessThanOrEqual(rows)
      const lengths = batches.map(({ length }) => length)
      expect(lengths).toEqual([...lengths].sort((a, b) => b - a))
    }),
  )
})

it('fills about 2048 tokens when nobody says otherwise', () => {
  const long = Array.from({ length: 50 }, (_, index) => ({ ids: new Int32Array(100).fill(index + 1), scoredTokens: 1 }))
  expect(planRows(long, null).map(({ rows }) => rows)).toEqual([20, 20, 10])
})
