/**
 * What the removed channels give on average: b = W[:, removed] E[x[removed]], to be added to the module's output.
 * @param weight [hidden, inputs] row-major, o_proj or down_proj
 * @param mean [inputs], E[x] over the calibration tokens
 * @param keptChannels input channels that stay
 * @returns [hidden], summed in float64
 */
export function meanCompensationBias(
  weight: Float32Array,
  hidden: number,
  mean: Float64Array,
  keptChannels: Iterable<number>,
): Float32Array {
  const inputs = mean.length
  const removedMean = Float64Array.from(mean)
  for (const channel of keptChannels) removedMean[channel] = 0
  const bias = new Float32Array(hidden)
  for (let row = 0; row < hidden; row++) {
    let total = 0
    for (let j = 0; j < inputs; j++) total += (weight[row * inputs + j] ?? 0) * (removedMean[j] ?? 0)
    bias[row] = total
  }
  return bias
}
