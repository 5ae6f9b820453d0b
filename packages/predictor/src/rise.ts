/**
 * The scale the predictor works on. D = rise of log-perplexity over the dense model; t = log(D + 0.01).
 * The logarithm makes errors relative, so that policies of one sparsity are ranked as well at 10 % as at 60 %;
 * the offset keeps rises that are smaller than anyone cares about from dominating.
 */
export const RISE_OFFSET = 0.01

/** Error of a rise that no model explains (policies that swap two near-equal units), log-perplexity. */
export const RISE_GRAIN = 0.002

/** Rises beyond 100 nats a token mean nothing; the bound keeps every number finite. */
export const MAX_LOG_RISE = Math.log(100)

/** D -> t. A rise below zero (pruning can help a little) counts down to half the offset. */
export function logOfRise(rise: number): number {
  return Math.log(Math.max(rise, -RISE_OFFSET / 2) + RISE_OFFSET)
}

/** Standard deviation of t that one of the rise D makes. */
export function deviationOfLog(deviation: number, rise: number): number {
  return deviation / (Math.max(rise, 0) + RISE_OFFSET)
}

/** t -> D. */
export function riseOfLog(logRise: number): number {
  return Math.exp(Math.min(logRise, MAX_LOG_RISE)) - RISE_OFFSET
}

/** Grain of the measurement on the scale of t at rise D. */
function grainAt(rise: number): number {
  return RISE_GRAIN / (Math.max(rise, 0) + RISE_OFFSET)
}

/** Standard deviation of t around the curve at rise D: relative misfit and the grain of the measurement. */
export function noiseAt(noise: number, rise: number): number {
  return Math.hypot(noise, grainAt(rise))
}
