import { IMAGE_CHANNELS, IMAGE_WIDTH } from './mask-image.js'

/**
 * The network: image [layers, 16, 2] -> convolution 3x3 to 8 -> ELU -> mean of pairs of cells [layers, 8, 8]
 * -> convolution 3x3 to 16 -> ELU -> mean of pairs [layers, 4, 16] -> dense 32 -> ELU -> dense 1.
 * Layers are never pooled: which layer was pruned is what the prediction is about.
 */
export const FIRST_CHANNELS = 8
export const SECOND_CHANNELS = 16
export const DENSE_UNITS = 32
/** Cells of a 3x3 neighbourhood. */
const TAPS = 9

export const SECOND_WIDTH = IMAGE_WIDTH / 2
export const LAST_WIDTH = IMAGE_WIDTH / 4

/** [inputs, outputs] of the four layers of weights; a convolution's inputs are [row, column, channel] of its taps. */
function layerShapes(layers: number): readonly (readonly [inputs: number, outputs: number])[] {
  return [
    [TAPS * IMAGE_CHANNELS, FIRST_CHANNELS],
    [TAPS * FIRST_CHANNELS, SECOND_CHANNELS],
    [layers * LAST_WIDTH * SECOND_CHANNELS, DENSE_UNITS],
    [DENSE_UNITS, 1],
  ]
}

/** Where the weights [inputs, outputs] and biases [outputs] of every layer lie, all weights in one array. */
export function weightLayout(layers: number) {
  let next = 0
  const parts = layerShapes(layers).map(([inputs, outputs]) => {
    const weights = next
    const biases = weights + inputs * outputs
    next = biases + outputs
    return { inputs, outputs, weights, biases }
  })
  return { parts, size: next }
}

/** Multiplications of one network for one policy. */
export function multiplicationsOf(layers: number): number {
  const cells = [layers * IMAGE_WIDTH, layers * SECOND_WIDTH, 1, 1]
  return layerShapes(layers).reduce((sum, [inputs, outputs], i) => sum + (cells[i] ?? 0) * inputs * outputs, 0)
}
