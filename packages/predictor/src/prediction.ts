import { NORMAL_90 } from './interval-scale.js'
import { noiseAt, riseOfLog } from './rise.js'

export interface Prediction {
  readonly logPerplexity: number
  /** Of log-perplexity; that of the normal distribution with the same 90 % interval. */
  readonly standardDeviation: number
  /** 90 % interval of the log-perplexity that would be measured. */
  readonly low: number
  readonly high: number
}

/** What turns t = log(rise + 0.01) into a log-perplexity with its interval. */
export interface PredictionScale {
  readonly denseLogPerplexity: number
  /** Standard deviation of t that the kind of predictor leaves unexplained. */
  readonly noise: number
  /** Half the width of the 90 % interval in predicted standard deviations of t. */
  readonly intervalScale: number
}

/**
 * @param logRise predicted t
 * @param variance of t from what the fit does not know, beside its noise
 */
export function predictionOf(scale: PredictionScale, logRise: number, variance = 0): Prediction {
  const noise = noiseAt(scale.noise, riseOfLog(logRise))
  const reach = scale.intervalScale * Math.sqrt(variance + noise ** 2)
  const at = (value: number) => scale.denseLogPerplexity + riseOfLog(value)
  const [low, high] = [at(logRise - reach), at(logRise + reach)]
  return { logPerplexity: at(logRise), standardDeviation: (high - low) / (2 * NORMAL_90), low, high }
}
