/** A trained CNN predictor: t = targetMean + targetDeviation * mean of the networks' outputs. */
export interface CnnState {
  readonly units: readonly number[]
  /** All weights of each network, laid out as `weightLayout` says. */
  readonly networks: readonly Float32Array[]
  readonly targetMean: number
  readonly targetDeviation: number
  readonly denseLogPerplexity: number
  readonly noise: number
  readonly intervalScale: number
  readonly evaluations: number
}
