import { FEATURES, featuresOf, type PolicyNetworkCheckpoint } from './policy-network.js'
import { at } from './policy-space.js'

/**
 * The logits of a stored policy network at a sparsity, in double precision and without TensorFlow.js: what
 * `PolicyNetwork.logits` gives in single precision. Microseconds, in any thread.
 * @returns one logit a module
 */
export function evaluatePolicyNetwork(checkpoint: PolicyNetworkCheckpoint, sparsity: number): Float64Array {
  const { modules, hiddenUnits, weights } = checkpoint
  const [inputWeights = [], inputBias = [], outputWeights = [], outputBias = []] = weights
  const features = featuresOf(sparsity)
  const logits = Float64Array.from(outputBias)
  for (let unit = 0; unit < hiddenUnits; unit++) {
    let input = at(inputBias, unit)
    for (let f = 0; f < FEATURES; f++) input += at(features, f) * at(inputWeights, f * hiddenUnits + unit)
    const hidden = Math.tanh(input)
    for (let m = 0; m < modules; m++) logits[m] = at(logits, m) + hidden * at(outputWeights, unit * modules + m)
  }
  return logits
}
