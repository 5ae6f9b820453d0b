import { calibrateInterval, type HonestScore } from './calibrate-interval.js'
import { noiseAt, riseOfLog } from './rise.js'

/** An evaluation as predicted by a fit that did not see it, and as measured; both as t. */
export interface HeldOutPrediction {
  readonly predicted: number
  readonly measured: number
  /** Where it was predicted before it was measured. */
  readonly honest?: HonestScore | undefined
}

/** Noise of t that a predictor is believed to have when nothing could be held out. */
const UNKNOWN_NOISE = 1

/**
 * Noise and interval of a predictor that knows no uncertainty of its own.
 * @param heldOut in the order in which they were planned
 */
export function intervalFromHeldOut(heldOut: readonly HeldOutPrediction[]): { noise: number; intervalScale: number } {
  const errors = heldOut.map(({ predicted, measured }) => measured - predicted)
  const meanSquare = errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length
  const noise = errors.length === 0 ? UNKNOWN_NOISE : Math.sqrt(meanSquare)
  const scored = heldOut.map(({ predicted, honest }, i) => {
    return { heldOut: Math.abs(errors[i] ?? 0) / noiseAt(noise, riseOfLog(predicted)), honest }
  })
  return { noise, intervalScale: calibrateInterval(scored) }
}
