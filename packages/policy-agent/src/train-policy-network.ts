import type { PolicyRules, RandomGenerator } from '@espalier/pruning'
import type { PolicyNetwork } from './policy-network.js'
import { at, createTargetSpace, type PolicySpace } from './policy-space.js'
import type { Scorer } from './scored-policy.js'
import type { SearchEffort } from './search-effort.js'

/** Standard deviation of the logits' noise: from exploring to exploiting. */
const FIRST_NOISE = 1
const LAST_NOISE = 0.15
const FIRST_RATE = 1.1e-2
const LAST_RATE = 1e-3
/** Keeps logits from drifting to where the projection no longer feels them. */
const LOGIT_DECAY = 0.01
/** How far beyond the targets the network is trained, and the least sparsity it sees. */
const MARGIN = 0.05
const LEAST_SPARSITY = 0.01

/** Share of the steps, from the end, that see the uncertainty of the predictor. */
const BOUND_SHARE = 1 / 3

interface Training {
  readonly network: PolicyNetwork
  readonly score: Scorer
  /** Scores with the uncertainty; it costs more, and rules the last part of the training. */
  readonly boundScore: Scorer
  readonly rules: PolicyRules
  readonly effort: SearchEffort
  readonly steps: number
  readonly random: RandomGenerator
}

/**
 * Trains the network by REINFORCE (Williams 1992) with a group baseline: for each sparsity of a step a group of noisy
 * logits is projected to policies and scored; a sample's advantage is its score against the group's mean, in units of
 * the group's standard deviation (Shao et al. 2024, section 4.1.2). Noise comes in mirrored pairs, which takes out of the
 * gradient all that is even in the noise. With x = mu + sigma e the gradient of -log-likelihood is -e / sigma.
 *
 * Half of the sparsities of a step are the targets, the others are drawn from their surroundings, so that the network
 * answers for any sparsity in between; where a target is no sparsity, only targets are trained. The last third of the
 * steps goes by a confidence bound of the predictor.
 */
export function trainPolicyNetwork(training: Training): void {
  const { network, rules, effort, steps, random } = training
  const { model, targetAt } = rules
  const spaces = rules.targets.map((target) => createTargetSpace(target, model))
  const [least, most] = trainedRange(
    rules.targets.map(({ sparsity }) => sparsity),
    rules.maximumSparsity,
  )
  const spaceNear = (step: number, index: number) =>
    targetAt
      ? createTargetSpace(targetAt(least + (most - least) * random.uniform()), model)
      : (spaces[(step + index) % spaces.length] as PolicySpace)
  for (let step = 0; step < steps; step++) {
    const left = 1 - step / steps
    const score = left > BOUND_SHARE ? training.score : training.boundScore
    const noise = Math.max(LAST_NOISE, FIRST_NOISE * left)
    const group = Array.from({ length: effort.sparsitiesPerStep }, (_, index) =>
      index % 2 === 0
        ? (spaces[((step * effort.sparsitiesPerStep + index) / 2) % spaces.length] as PolicySpace)
        : spaceNear(step, index),
    )
    const sparsities = group.map((space) => space.sparsity)
    const gradients = network
      .logits(sparsities)
      .map((mean, index) => estimateGradient(group[index] as PolicySpace, mean, noise, score, effort, random))
    network.descend(sparsities, gradients, LAST_RATE + (FIRST_RATE - LAST_RATE) * left)
  }
}

/** The sparsities that a network is trained for: the targets with some room on both sides. */
export function trainedRange(targets: readonly number[], maximumSparsity: number): readonly [number, number] {
  // To a millionth: what a person reads as 0.15 is in the range that is shown as 0.15.
  const least = Math.round(1e6 * Math.max(LEAST_SPARSITY, Math.min(...targets) - MARGIN)) / 1e6
  const most = Math.floor(1e6 * Math.min(maximumSparsity, Math.max(...targets) + MARGIN) + 1e-3) / 1e6
  return most > least ? [least, most] : [Math.min(...targets), Math.min(...targets)]
}

/** d loss / d logits of one sparsity, estimated from mirrored pairs of samples. */
function estimateGradient(
  space: PolicySpace,
  mean: Float32Array,
  noise: number,
  score: Scorer,
  { pairsPerSparsity }: SearchEffort,
  random: RandomGenerator,
): Float32Array {
  const directions: Float64Array[] = []
  const scores: number[] = []
  for (let pair = 0; pair < pairsPerSparsity; pair++) {
    const direction = Float64Array.from(mean, () => random.normal())
    directions.push(direction)
    for (const sign of [noise, -noise]) {
      scores.push(score(space.fromLogits(mean.map((logit, m) => logit + sign * (direction[m] as number)))))
    }
  }
  const deviation = standardDeviation(scores)
  const gradient = mean.map((logit) => LOGIT_DECAY * logit)
  if (deviation === 0) return gradient
  directions.forEach((direction, pair) => {
    const advantage = (at(scores, 2 * pair) - at(scores, 2 * pair + 1)) / deviation
    const weight = advantage / (noise * 2 * pairsPerSparsity)
    for (let m = 0; m < gradient.length; m++) gradient[m] = (gradient[m] as number) + weight * (direction[m] as number)
  })
  return gradient
}

function standardDeviation(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)
}
