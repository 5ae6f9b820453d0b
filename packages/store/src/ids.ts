import { randomBytes } from 'node:crypto'

/** What an id names, readable in logs. */
export type IdPrefix = 'tea' | 'key' | 'mod' | 'sea' | 'ste' | 'pol' | 'eva' | 'pre' | 'gen' | 'art' | 'cal' | 'wor'

/** Crockford's base 32, in the order of its digits under every collation. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

let lastMs = 0
let sequence = 0

/**
 * `sea_` and 26 characters: 10 of time (ms), 4 of a sequence within the millisecond, 12 random (60 bits).
 * Sorts by creation as text; strictly within one process, to the clocks' accuracy between processes.
 */
export function createId(prefix: IdPrefix): string {
  const nowMs = Math.max(Date.now(), lastMs)
  sequence = nowMs === lastMs ? sequence + 1 : 0
  lastMs = nowMs
  let random = ''
  for (const byte of randomBytes(12)) random += alphabet.charAt(byte & 31)
  return `${prefix}_${encode(nowMs, 10)}${encode(sequence, 4)}${random}`
}

function encode(value: number, digits: number): string {
  let text = ''
  for (let rest = value; text.length < digits; rest = Math.floor(rest / 32)) text = alphabet.charAt(rest % 32) + text
  return text
}
