import type { EvaluatePayload, SearchSettings } from '@espalier/contracts'

/** The settings that decide which rungs there are. */
export type RungSettings = Pick<SearchSettings, 'fidelity' | 'validationWindows' | 'windowLength'>

/** Shares of the validation windows that a rung of the fidelity ladder measures, beside all of them. */
const CHEAP_SHARES = [1 / 4, 1 / 16]
/** Fewer windows say nothing of how much they differ from each other. */
const FEWEST_WINDOWS = 4
/** A rise measured on fewer tokens is mostly noise. */
const FEWEST_TOKENS = 1000

/**
 * Windows of the rungs of a search, all of them first, then 1/4 and 1/16 where these are still enough text; only all
 * of them where the fidelity is `full`.
 */
export function rungsOf({ fidelity, validationWindows, windowLength }: RungSettings): number[] {
  if (fidelity !== 'auto') return [validationWindows]
  const cheap = CHEAP_SHARES.map((share) => Math.ceil(validationWindows * share)).filter(
    (windows) =>
      windows < validationWindows && windows >= FEWEST_WINDOWS && windows * (windowLength - 1) >= FEWEST_TOKENS,
  )
  return [validationWindows, ...cheap]
}

/** Cost of an evaluation in full ones: its share of the validation windows; the longer final measurement counts as one. */
export function costOf(
  { windows }: Pick<EvaluatePayload, 'windows'>,
  { validationWindows }: Pick<RungSettings, 'validationWindows'>,
): number {
  return Math.min(1, windows / validationWindows)
}
