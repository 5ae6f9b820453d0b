import type { Rank4, Tensor, Tensor4D, Tensors } from '@espalier/tensor-backend'
import { IMAGE_CHANNELS, IMAGE_WIDTH } from './mask-image.js'
import { FIRST_CHANNELS, weightLayout } from './network-shape.js'

interface Layer {
  /** [inputs, outputs] */
  readonly weights: Tensor
  /** [outputs] */
  readonly biases: Tensor
}
type Layers = readonly [Layer, Layer, Layer, Layer]

interface Forward {
  /** [N, layers, 16, 2] */
  readonly image: Tensor4D
  /** After ELU, [N, layers, 16, 8]. */
  readonly firstCells: Tensor4D
  /** [N, layers, 8, 8] */
  readonly pooled: Tensor4D
  /** After ELU, [N, layers, 8, 16]. */
  readonly secondCells: Tensor4D
  /** [N, layers x 4 x 16] */
  readonly features: Tensor
  /** After ELU, [N, 32]. */
  readonly hidden: Tensor
  /** [N, 1] */
  readonly output: Tensor
}

/**
 * The network of `network-shape.ts` on TensorFlow.js: loss of a batch and its gradient at all weights.
 *
 * The gradient is written out, and every convolution in it is a forward one with its axes exchanged (`kernelGradient`,
 * `inputGradient`): so it trains on every backend (WebAssembly has no gradients of convolutions, and those of plain
 * JavaScript are slow) and without the gradients of TensorFlow.js, which its core comes without.
 */
export class ConvolutionalNetwork {
  readonly #tf: Tensors
  readonly #layers: number

  constructor(tf: Tensors, layers: number) {
    this.#tf = tf
    this.#layers = layers
  }

  /**
   * Loss: mean of (y - target)^2 / 2.
   * @param weights all of them, laid out as `weightLayout` says
   * @param images [N, layers, IMAGE_WIDTH, IMAGE_CHANNELS]
   * @param targets [N]
   */
  lossAndGradient(weights: Float32Array, images: Float32Array, targets: Float32Array) {
    const tf = this.#tf
    const gradient = new Float32Array(weights.length)
    let loss = Number.NaN
    // Nothing is returned from `tidy`, which would look for tensors in every element of an array.
    tf.tidy(() => {
      const layers = this.#unpack(weights)
      const forward = this.#forward(layers, images, targets.length)
      const errors = tf.sub(forward.output, tf.tensor2d(targets, [targets.length, 1]))
      let next = 0
      for (const part of this.#backward(layers, forward, tf.div(errors, targets.length))) {
        gradient.set(part.dataSync<'float32'>(), next)
        next += part.size
      }
      loss = errors.dataSync<'float32'>().reduce((sum, error) => sum + error ** 2, 0) / (2 * targets.length)
    })
    return { loss, gradient }
  }

  #unpack(values: Float32Array): Layers {
    const [first, second, third, last] = weightLayout(this.#layers).parts.map(
      ({ inputs, outputs, weights, biases }): Layer => ({
        weights: this.#tf.tensor2d(values.slice(weights, biases), [inputs, outputs]),
        biases: this.#tf.tensor1d(values.slice(biases, biases + outputs)),
      }),
    )
    if (!first || !second || !third || !last) throw new Error('The network has four layers of weights')
    return [first, second, third, last]
  }

  #forward([first, second, third, last]: Layers, images: Float32Array, count: number): Forward {
    const tf = this.#tf
    const image = tf.tensor4d(images, [count, this.#layers, IMAGE_WIDTH, IMAGE_CHANNELS])
    const firstCells = convolve(tf, image, first, IMAGE_CHANNELS)
    const pooled = tf.avgPool(firstCells, [1, 2], [1, 2], 'valid')
    const secondCells = convolve(tf, pooled, second, FIRST_CHANNELS)
    const features = tf.reshape(tf.avgPool(secondCells, [1, 2], [1, 2], 'valid'), [count, -1])
    const hidden = tf.fused.matMul({ a: features, b: third.weights, bias: third.biases, activation: 'elu' })
    const output = tf.fused.matMul({ a: hidden, b: last.weights, bias: last.biases })
    return { image, firstCells, pooled, secondCells, features, hidden, output }
  }

  /** d loss / d weights and d loss / d biases of each layer, in the order of `weightLayout`. */
  #backward([, second, third, last]: Layers, at: Forward, atOutput: Tensor): Tensor[] {
    const tf = this.#tf
    const atHidden = throughElu(tf, timesTransposed(tf, atOutput, last.weights), at.hidden)
    const atFeatures = timesTransposed(tf, atHidden, third.weights)
    const atSecond = throughElu(tf, spreadToPairs(tf, atFeatures, at.secondCells), at.secondCells)
    const atPooled = inputGradient(tf, atSecond, second, FIRST_CHANNELS)
    const atFirst = throughElu(tf, spreadToPairs(tf, atPooled, at.firstCells), at.firstCells)
    return [
      ...[kernelGradient(tf, at.image, atFirst), sumOfCells(tf, atFirst)],
      ...[kernelGradient(tf, at.pooled, atSecond), sumOfCells(tf, atSecond)],
      ...[tf.matMul(tf.transpose(at.features), atHidden), tf.sum(atHidden, 0)],
      ...[tf.matMul(tf.transpose(at.hidden), atOutput), tf.sum(atOutput, 0)],
    ]
  }
}

/** 3x3, zeros outside of the image, then ELU. */
function convolve(tf: Tensors, x: Tensor4D, { weights, biases }: Layer, channels: number): Tensor4D {
  const filter = tf.reshape<Rank4>(weights, [3, 3, channels, -1])
  return tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', bias: biases, activation: 'elu' })
}

/**
 * Gradient at a 3x3 kernel, [channels, 3, 3, outputs] brought to [3, 3, channels, outputs]: the input convolved with
 * the gradient at the output, policies and channels exchanged.
 * @param x [N, rows, columns, channels]
 * @param gradient [N, rows, columns, outputs]
 */
function kernelGradient(tf: Tensors, x: Tensor4D, gradient: Tensor4D): Tensor {
  const padded = tf.pad(x, [
    [0, 0],
    [1, 1],
    [1, 1],
    [0, 0],
  ])
  const channelsFirst = tf.transpose(padded, [3, 1, 2, 0])
  const filter = tf.transpose(gradient, [1, 2, 0, 3])
  return tf.transpose(tf.conv2d(channelsFirst, filter, 1, 'valid'), [1, 2, 0, 3])
}

/** Gradient at the input of a 3x3 convolution: that at the output convolved with the kernel turned by 180 degrees. */
function inputGradient(tf: Tensors, gradient: Tensor4D, { weights }: Layer, channels: number): Tensor4D {
  const kernel = tf.reshape<Rank4>(weights, [3, 3, channels, -1])
  const turned = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
  return tf.conv2d(gradient, turned, 1, 'same')
}

/** Gradient at cells whose pairs were averaged, in the shape of `cells`. */
function spreadToPairs(tf: Tensors, gradient: Tensor, cells: Tensor4D): Tensor4D {
  const channels = cells.shape[3]
  const halves = tf.reshape(tf.div(gradient, 2), [-1, channels])
  return tf.reshape<Rank4>(tf.concat([halves, halves], 1), cells.shape)
}

function sumOfCells(tf: Tensors, cells: Tensor4D): Tensor {
  return tf.sum(tf.reshape(cells, [-1, cells.shape[3]]), 0)
}

/** a b^T, transposed first: the WebAssembly backend multiplies transposed matrices by a slow loop of its own. */
function timesTransposed(tf: Tensors, a: Tensor, b: Tensor): Tensor {
  return tf.matMul(a, tf.transpose(b))
}

/** d ELU(x) / dx is 1 above zero and ELU(x) + 1 below. */
function throughElu<T extends Tensor>(tf: Tensors, gradient: T, activation: T): T {
  return tf.mul<T>(gradient, tf.add(tf.minimum(activation, 0), 1))
}
