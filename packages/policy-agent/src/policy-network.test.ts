import { createRandomGenerator } from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { describe, expect, it } from '@jest/globals'
import { PolicyNetwork, type PolicyNetworkCheckpoint } from './policy-network.js'

const sparsities = [0.2, 0.35, 0.6]
const modules = 6
const { tf } = await loadTensorBackend()
const createNetwork = () => PolicyNetwork.create(tf, modules, 5, createRandomGenerator(11))
/** d loss / d logits of the loss sum(c * logits). */
const random = createRandomGenerator(12)
const coefficients = sparsities.map(() => Float32Array.from({ length: modules }, () => random.normal()))

function lossOf(network: PolicyNetwork): number {
  return network
    .logits(sparsities)
    .flatMap((row, n) => [...row].map((logit, m) => logit * (coefficients[n]?.[m] ?? 0)))
    .reduce((sum, term) => sum + term, 0)
}

describe('PolicyNetwork', () => {
  it('has the gradients that finite differences give', () => {
    const network = createNetwork()
    const gradients = tf.tidy(() => network.gradientsOf(sparsities, coefficients).map((t) => [...t.dataSync()]))
    const { weights, ...rest } = network.checkpoint()
    const step = 1e-2
    weights.forEach((values, layer) => {
      values.forEach((value, index) => {
        const shifted = (change: number): PolicyNetworkCheckpoint => ({
          ...rest,
          weights: weights.map((w, l) => w.map((v, i) => (l === layer && i === index ? value + change : v))),
        })
        const [above, below] = [step, -step].map((change) => {
          const moved = PolicyNetwork.fromCheckpoint(tf, shifted(change), modules)
          const loss = lossOf(moved)
          moved.dispose()
          return loss
        })
        const numeric = ((above ?? 0) - (below ?? 0)) / (2 * step)
        expect(Math.abs(numeric - (gradients[layer]?.[index] ?? Number.NaN))).toBeLessThan(2e-3)
      })
    })
    network.dispose()
  })

  it('goes down the loss, and goes on from a checkpoint as if never stopped', () => {
    const network = createNetwork()
    const before = lossOf(network)
    for (let step = 0; step < 20; step++) network.descend(sparsities, coefficients, 0.01)
    expect(lossOf(network)).toBeLessThan(before - 1)
    const stored = JSON.parse(JSON.stringify(network.checkpoint())) as PolicyNetworkCheckpoint
    const restored = PolicyNetwork.fromCheckpoint(tf, stored, modules)
    expect(restored.logits(sparsities)).toEqual(network.logits(sparsities))
    network.dispose()
    restored.dispose()
  })

  it('refuses the checkpoint of another model', () => {
    const network = createNetwork()
    const stored = network.checkpoint()
    network.dispose()
    expect(() => PolicyNetwork.fromCheckpoint(tf, stored, 8)).toThrow(/is for 6 modules .* the model has 8 modules/)
    const cut = { ...stored, weights: stored.weights.slice(1) }
    expect(() => PolicyNetwork.fromCheckpoint(tf, cut, 6)).toThrow(
      expect.objectContaining({ code: 'POLICY_OTHER_MODEL' }),
    )
  })

  it('leaves no tensor behind', () => {
    const before = tf.memory().numTensors
    const network = createNetwork()
    const held = tf.memory().numTensors
    for (let step = 0; step < 3; step++) network.descend(sparsities, network.logits(sparsities), 0.01)
    expect(tf.memory().numTensors).toBe(held)
    network.dispose()
    expect(tf.memory().numTensors).toBe(before)
  })
})
