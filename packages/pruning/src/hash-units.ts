/** Bound once: the lookup of a global can cost more than the multiplication. */
const { imul } = Math

/**
 * A number for the kept units of a policy: 53 bits out of two 32-bit multiplicative hashes. Among a million policies two
 * collide with probability 6e-5. Text keys cost more than a predictor.
 */
export function hashUnits(kept: readonly number[]): number {
  let [high, low] = [0x9e3779b9, 0x85ebca6b]
  for (const units of kept) {
    high = imul(high ^ units, 0x01000193) ^ (high >>> 15)
    low = imul(low + units, 0xc2b2ae35) ^ (low >>> 13)
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}
