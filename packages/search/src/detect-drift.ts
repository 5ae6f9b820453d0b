/** Share of the measurements that 90 % intervals miss when nothing is wrong. */
const MISS_RATE = 0.1
/** Misses less likely than this are no chance. */
const SIGNIFICANCE = 0.05

/**
 * Whether 90 % intervals missed so often that chance does not explain it: a one-sided binomial test.
 * @param misses of `count` measurements
 */
export function detectDrift(misses: number, count: number): boolean {
  if (misses === 0) return false
  // The first term by its logarithm: binomial coefficients of long rounds are larger than any number.
  let logarithm = misses * Math.log(MISS_RATE) + (count - misses) * Math.log(1 - MISS_RATE)
  for (let i = 1; i <= misses; i++) logarithm += Math.log((count - misses + i) / i)
  let term = Math.exp(logarithm)
  let tail = 0
  for (let k = misses; k <= count; k++) {
    tail += term
    term *= ((count - k) / (k + 1)) * (MISS_RATE / (1 - MISS_RATE))
  }
  return tail < SIGNIFICANCE
}
