import type { RandomGenerator } from '@espalier/pruning'
import type { Tensors } from '@espalier/tensor-backend'
import { ConvolutionalNetwork } from './convolutional-network.js'
import { weightLayout } from './network-shape.js'

export interface NetworkSamples {
  /** One a policy, [layers, IMAGE_WIDTH, IMAGE_CHANNELS]. */
  readonly images: readonly ArrayLike<number>[]
  /** Standardised t. */
  readonly targets: readonly number[]
}

const EPOCHS = 120
/** With few evaluations an epoch is a single batch. */
const FEWEST_STEPS = 400
const BATCH = 32
const LEARNING_RATE = 3e-3
/** Weights (not biases) lose this share of themselves a step, times the learning rate (Loshchilov and Hutter 2019). */
const WEIGHT_DECAY = 0.02

/** Adam (Kingma and Ba 2015), algorithm 1. */
const FIRST_DECAY = 0.9
const SECOND_DECAY = 0.999
const ADAM_EPSILON = 1e-8

/** Trains a network from new weights: Adam with weight decay, the learning rate falling to 0 along a cosine. */
export function trainNetwork(
  tf: Tensors,
  layers: number,
  { images, targets }: NetworkSamples,
  random: RandomGenerator,
): Float32Array {
  const network = new ConvolutionalNetwork(tf, layers)
  const weights = createWeights(layers, random)
  const descend = createDescent(layers, weights)
  const order = [...images.keys()]
  const steps = Math.max(FEWEST_STEPS, EPOCHS * Math.ceil(order.length / BATCH))
  for (let step = 0; step < steps; ) {
    random.shuffle(order)
    for (let start = 0; start < order.length && step < steps; start += BATCH) {
      const batch = order.slice(start, start + BATCH)
      const { gradient } = network.lossAndGradient(
        weights,
        concatenate(batch.map((i) => images[i] ?? [])),
        Float32Array.from(batch, (i) => targets[i] ?? 0),
      )
      step++
      descend(gradient, (LEARNING_RATE / 2) * (1 + Math.cos((Math.PI * step) / steps)))
    }
  }
  return weights
}

/** Normal with variance 1.6 / inputs, which keeps the spread of activations through ELUs; the last layer starts small. */
function createWeights(layers: number, random: RandomGenerator): Float32Array {
  const { parts, size } = weightLayout(layers)
  const values = new Float32Array(size)
  parts.forEach(({ inputs, weights, biases }, layer) => {
    const deviation = layer < parts.length - 1 ? Math.sqrt(1.6 / inputs) : 0.1 / Math.sqrt(inputs)
    for (let i = weights; i < biases; i++) values[i] = deviation * random.normal()
  })
  return values
}

function createDescent(layers: number, weights: Float32Array) {
  const first = new Float64Array(weights.length)
  const second = new Float64Array(weights.length)
  const decay = new Float64Array(weights.length)
  for (const { weights: start, biases } of weightLayout(layers).parts) decay.fill(WEIGHT_DECAY, start, biases)
  let steps = 0
  return (gradient: Float32Array, learningRate: number) => {
    steps++
    const [firstScale, secondScale] = [1 - FIRST_DECAY ** steps, 1 - SECOND_DECAY ** steps]
    for (let i = 0; i < weights.length; i++) {
      const slope = gradient[i] ?? 0
      const mean = FIRST_DECAY * (first[i] ?? 0) + (1 - FIRST_DECAY) * slope
      const square = SECOND_DECAY * (second[i] ?? 0) + (1 - SECOND_DECAY) * slope * slope
      first[i] = mean
      second[i] = square
      const step = mean / firstScale / (Math.sqrt(square / secondScale) + ADAM_EPSILON)
      const weight = weights[i] ?? 0
      weights[i] = weight - learningRate * (step + (decay[i] ?? 0) * weight)
    }
  }
}

function concatenate(parts: readonly ArrayLike<number>[]): Float32Array {
  const length = parts[0]?.length ?? 0
  const all = new Float32Array(parts.length * length)
  parts.forEach((part, i) => {
    all.set(part, i * length)
  })
  return all
}
