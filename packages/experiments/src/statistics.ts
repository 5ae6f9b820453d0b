/** Statistics of small samples; all want at least one value. */

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Largest minus smallest, as a share of the mean. */
export function relativeSpread(values: readonly number[]): number {
  return (Math.max(...values) - Math.min(...values)) / mean(values)
}

/**
 * Phi^-1((1 + level) / 2): half the width of the central interval of a normal distribution, in standard deviations.
 * Bisection on the distribution function, whose erf is that of Abramowitz and Stegun 7.1.26 (error under 1.5e-7).
 */
export function normalReach(level: number): number {
  let [low, high] = [0, 10]
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2
    if (erf(middle / Math.SQRT2) < level) low = middle
    else high = middle
  }
  return (low + high) / 2
}

function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * x)
  const series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592].reduce(
    (sum, c) => (sum + c) * t,
    0,
  )
  return 1 - series * Math.exp(-x * x)
}
