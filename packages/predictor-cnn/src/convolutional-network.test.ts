import { createRandomGenerator } from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { expect, it } from '@jest/globals'
import { ConvolutionalNetwork } from './convolutional-network.js'
import { createNetworkEvaluator } from './evaluate-network.js'
import { drawMaskImage } from './mask-image.js'
import { weightLayout } from './network-shape.js'

const units = [3, 40, 3, 40, 3, 40]
const layers = units.length / 2
const random = createRandomGenerator(2)
const { parts, size } = weightLayout(layers)
const weights = Float32Array.from({ length: size }, () => 0.3 * random.normal())
const policies = Array.from({ length: 5 }, () => units.map((count) => random.integer(count + 1)))
const targets = Float32Array.from(policies, () => random.normal())
const images = Float32Array.from(
  policies.flatMap((kept) => [...drawMaskImage(units, kept, new Float64Array(layers * 32))]),
)

/** The same loss by the evaluator in plain float64 JavaScript, which shares no code with the network. */
function lossBy(values: Float32Array): number {
  const evaluate = createNetworkEvaluator(units, values)
  return policies.reduce((sum, kept, i) => sum + (evaluate(kept) - (targets[i] ?? 0)) ** 2, 0) / (2 * policies.length)
}

it('has the loss of the evaluator and its slope at weights of every layer', async () => {
  const { tf } = await loadTensorBackend()
  const before = tf.memory().numTensors
  const { loss, gradient } = new ConvolutionalNetwork(tf, layers).lossAndGradient(weights, images, targets)
  expect(tf.memory().numTensors).toBe(before)
  expect(Math.abs(loss - lossBy(weights))).toBeLessThan(1e-5 * loss)
  const scale = Math.sqrt(gradient.reduce((sum, slope) => sum + slope ** 2, 0) / size)
  for (const { weights: start, biases, outputs } of parts) {
    const places = [
      biases,
      biases + outputs - 1,
      ...Array.from({ length: 25 }, () => start + random.integer(biases - start)),
    ]
    for (const place of places) {
      const at = weights[place] ?? 0
      const [above, below] = [weights.with(place, at + 0.01), weights.with(place, at - 0.01)]
      const slope = (lossBy(above) - lossBy(below)) / ((above[place] ?? 0) - (below[place] ?? 0))
      expect(Math.abs((gradient[place] ?? 0) - slope)).toBeLessThan(0.01 * Math.abs(slope) + 0.003 * scale)
    }
  }
})

it('shows a mask matrix as cells in order of importance', () => {
  const image = drawMaskImage([3, 32], [1, 21], new Float64Array(32))
  const channel = (kind: number) => Array.from({ length: 16 }, (_, cell) => image[2 * cell + kind])
  // A third of 16 cells is 5 and a third; 21 of 32 units are 10 and a half.
  expect(channel(0).slice(0, 7)).toEqual([1, 1, 1, 1, 1, expect.closeTo(-1 / 3, 12), -1])
  expect(channel(1).slice(9, 12)).toEqual([1, 0, -1])
})
