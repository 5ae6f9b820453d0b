/** Share of the measurements that 90 % intervals miss when nothing is wrong. */
const MISS_RATE = 0.1
/** Misses less likely than this are no chance. */
const SIGNIFICANCE = 0.05

/**
 * Whether 90 % intervals missed so often that chance does not explain it: a one-sided binomial test.
 * @param misses of `count` measurements
 */
export function detectDrift(misses: number, count: number): boolean {
  let tail = 0
  for (let k = misses; k <= count; k++) {
    tail += binomial(count, k) * MISS_RATE ** k * (1 - MISS_RATE) ** (count - k)
  }
  return misses > 0 && tail < SIGNIFICANCE
}

/** n choose k. */
function binomial(n: number, k: number): number {
  let value = 1
  for (let i = 1; i <= k; i++) value *= (n - k + i) / i
  return value
}
