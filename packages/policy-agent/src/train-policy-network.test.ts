import { createRandomGenerator, plainPolicyRules, randomPolicy, uniformPolicy } from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { describe, expect, it } from '@jest/globals'
import { PolicyNetwork } from './policy-network.js'
import { createPolicySpace } from './policy-space.js'
import { sampleNetwork } from './propose-with-network.js'
import { demoModel } from './prunable-models.test-support.js'
import { planEffort } from './search-effort.js'
import { trainPolicyNetwork } from './train-policy-network.js'

const targets = [0.2, 0.5]
/** Early layers matter most, and layers that lose much lose more together: not separable. */
const score = (kept: readonly number[]) => {
  const lost = kept.map((count, m) => ((1 - count / (m % 2 ? 512 : 3)) ** 1.6 * (m % 2 ? 2 : 1)) / (1 + m / 2))
  const sum = lost.reduce((total, value) => total + value, 0)
  return sum + 0.3 * lost.reduce((total, value, m) => total + value * (lost[m + 1] ?? 0), 0)
}

describe('trainPolicyNetwork', () => {
  it('makes one-shot policies far better than uniform and random ones, also between the targets', async () => {
    const { tf } = await loadTensorBackend()
    const random = createRandomGenerator(3)
    const effort = planEffort(demoModel.modules.length)
    const network = PolicyNetwork.create(tf, demoModel.modules.length, effort.hiddenUnits, random)
    const steps = effort.trainingSteps
    const rules = plainPolicyRules(demoModel, targets)
    trainPolicyNetwork({ network, score, boundScore: score, rules, effort, steps, random })
    for (const sparsity of [0.2, 0.3, 0.4, 0.5]) {
      const space = createPolicySpace(demoModel, sparsity)
      const [logits] = network.logits([sparsity])
      const sampled = sampleNetwork(space, logits ?? [], 32, random).map(score)
      const drawn = Array.from({ length: 32 }, () => score(randomPolicy(demoModel, sparsity, random)))
      const bestRandom = Math.min(...drawn)
      expect(sampled[0]).toBeLessThan(0.8 * score(uniformPolicy(demoModel, sparsity)))
      expect(sampled[0]).toBeLessThan(0.9 * bestRandom)
      // Not only the best one: every sample beats the best of as many random policies.
      expect(Math.max(...sampled)).toBeLessThan(bestRandom)
    }
    network.dispose()
  })
})
