import { EspalierError } from '@espalier/contracts'
import type { RandomGenerator } from '@espalier/pruning'
import type { Tensors, Variable } from '@espalier/tensor-backend'

/** Weights of a policy network as plain JSON. */
export interface PolicyNetworkCheckpoint {
  readonly format: 'espalier-policy-network/1'
  readonly modules: number
  readonly hiddenUnits: number
  /** Hidden weights [FEATURES, hidden], hidden biases, output weights [hidden, modules], output biases; row-major. */
  readonly weights: readonly (readonly number[])[]
}

export const FEATURES = 2
/** Centre and scale that bring the usual sparsities (0.1 to 0.6) to -1..1. */
const SPARSITY_CENTRE = 0.35
const SPARSITY_SCALE = 4
/** The policy of new weights is nearly uniform, whatever the sparsity. */
const OUTPUT_DEVIATION = 0.1

/** Adam (Kingma and Ba 2015), algorithm 1. */
const FIRST_DECAY = 0.9
const SECOND_DECAY = 0.999
const ADAM_EPSILON = 1e-8

/**
 * The policy network: sparsity -> one logit a module, that is how much more than its even share a module keeps.
 *
 *   f = [z, z^2], z = 4 (sparsity - 0.35)
 *   h = tanh(f A + a)                      [n, hidden]
 *   logits = h B + b                       [n, modules]
 *
 * The gradient of two dense layers is written out (`gradientsOf`): the core of TensorFlow.js comes without the
 * gradients of its operations, and the package that has them takes several times as long to load.
 */
export class PolicyNetwork {
  readonly modules: number
  readonly hiddenUnits: number
  readonly #tf: Tensors
  readonly #weights: readonly Variable[]
  readonly #firstMoments: readonly Variable[]
  readonly #secondMoments: readonly Variable[]
  #steps = 0

  private constructor(tf: Tensors, modules: number, hiddenUnits: number, values: readonly (readonly number[])[]) {
    this.#tf = tf
    this.modules = modules
    this.hiddenUnits = hiddenUnits
    const shapes = shapesOf(modules, hiddenUnits)
    const variable = (data: readonly number[], index: number) =>
      tf.tidy(() => tf.variable(tf.tensor(data as number[], shapes[index] as number[], 'float32')))
    const zeros = () =>
      values.map((data, index) =>
        variable(
          data.map(() => 0),
          index,
        ),
      )
    this.#weights = values.map(variable)
    this.#firstMoments = zeros()
    this.#secondMoments = zeros()
  }

  /** New weights, drawn from the generator: normal, hidden ones scaled by 1 / sqrt(FEATURES), output ones small. */
  static create(tf: Tensors, modules: number, hiddenUnits: number, random: RandomGenerator): PolicyNetwork {
    const deviations = [1 / Math.sqrt(FEATURES), 0.5, OUTPUT_DEVIATION / Math.sqrt(hiddenUnits), 0]
    const values = shapesOf(modules, hiddenUnits).map((shape, index) => {
      const deviation = deviations[index] ?? 0
      return Array.from({ length: sizeOf(shape) }, () => deviation * random.normal())
    })
    return new PolicyNetwork(tf, modules, hiddenUnits, values)
  }

  /** @throws EspalierError POLICY_OTHER_MODEL when the checkpoint is for another number of modules or incomplete */
  static fromCheckpoint(tf: Tensors, checkpoint: PolicyNetworkCheckpoint, modules: number): PolicyNetwork {
    const sizes = shapesOf(modules, checkpoint.hiddenUnits).map(sizeOf)
    const found = checkpoint.weights.map((values) => values.length)
    if (checkpoint.modules !== modules || sizes.join() !== found.join()) {
      throw new EspalierError(
        'POLICY_OTHER_MODEL',
        `The checkpoint of the policy network is for ${checkpoint.modules} modules with weights of sizes ${found.join(', ')}; the model has ${modules} modules and needs sizes ${sizes.join(', ')}`,
        { modules: checkpoint.modules, expected: modules },
      )
    }
    return new PolicyNetwork(tf, modules, checkpoint.hiddenUnits, checkpoint.weights)
  }

  /** Logits of each sparsity, [sparsities][modules]. */
  logits(sparsities: readonly number[]): Float32Array[] {
    const flat = this.#tf.tidy(() => this.#forward(sparsities).logits.dataSync<'float32'>())
    return sparsities.map((_, row) => flat.slice(row * this.modules, (row + 1) * this.modules))
  }

  /**
   * One Adam step down a loss of which the gradient at the logits is known.
   * @param gradients d loss / d logits, [sparsities][modules]
   */
  descend(sparsities: readonly number[], gradients: readonly Float32Array[], learningRate: number): void {
    this.#steps++
    const rate = (learningRate * Math.sqrt(1 - SECOND_DECAY ** this.#steps)) / (1 - FIRST_DECAY ** this.#steps)
    const tf = this.#tf
    tf.tidy(() => {
      this.gradientsOf(sparsities, gradients).forEach((gradient, index) => {
        const [weights, first, second] = [this.#weights[index], this.#firstMoments[index], this.#secondMoments[index]]
        if (!weights || !first || !second) return
        first.assign(tf.add(tf.mul(first, FIRST_DECAY), tf.mul(gradient, 1 - FIRST_DECAY)))
        second.assign(tf.add(tf.mul(second, SECOND_DECAY), tf.mul(tf.square(gradient), 1 - SECOND_DECAY)))
        weights.assign(tf.sub(weights, tf.div(tf.mul(first, rate), tf.add(tf.sqrt(second), ADAM_EPSILON))))
      })
    })
  }

  /** d loss / d weights in the order of the checkpoint; the caller disposes of them (or is inside `tf.tidy`). */
  gradientsOf(sparsities: readonly number[], gradients: readonly Float32Array[]) {
    const tf = this.#tf
    return tf.tidy(() => {
      const { features, hidden, output } = this.#forward(sparsities)
      const atLogits = tf.tensor2d(Float32Array.from(gradients.flatMap((row) => [...row])), [
        sparsities.length,
        this.modules,
      ])
      const atHidden = tf.mul(tf.matMul(atLogits, output, false, true), tf.sub(1, tf.square(hidden)))
      return [
        tf.matMul(features, atHidden, true),
        tf.sum(atHidden, 0),
        tf.matMul(hidden, atLogits, true),
        tf.sum(atLogits, 0),
      ]
    })
  }

  checkpoint(): PolicyNetworkCheckpoint {
    const weights = this.#weights.map((variable) => [...variable.dataSync()])
    return { format: 'espalier-policy-network/1', modules: this.modules, hiddenUnits: this.hiddenUnits, weights }
  }

  /** Frees the memory of the weights, which no garbage collector sees. */
  dispose(): void {
    for (const variable of [...this.#weights, ...this.#firstMoments, ...this.#secondMoments]) variable.dispose()
  }

  #forward(sparsities: readonly number[]) {
    const tf = this.#tf
    const [inputWeights, inputBias, outputWeights, outputBias] = this.#weights
    if (!inputWeights || !inputBias || !outputWeights || !outputBias) throw new Error('The network has no weights')
    const features = tf.tensor2d(sparsities.map(featuresOf), [sparsities.length, FEATURES])
    const hidden = tf.tanh(tf.add(tf.matMul(features, inputWeights), inputBias))
    const logits = tf.add(tf.matMul(hidden, outputWeights), outputBias)
    return { features, hidden, output: outputWeights, logits }
  }
}

/** What the network sees of a sparsity: z and z^2. */
export function featuresOf(sparsity: number): number[] {
  const z = SPARSITY_SCALE * (sparsity - SPARSITY_CENTRE)
  return [z, z * z]
}

function shapesOf(modules: number, hiddenUnits: number): readonly (readonly number[])[] {
  return [[FEATURES, hiddenUnits], [hiddenUnits], [hiddenUnits, modules], [modules]]
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1)
}
