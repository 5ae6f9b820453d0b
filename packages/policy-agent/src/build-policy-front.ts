import type { KeptUnits } from '@espalier/contracts'
import { createRandomGenerator, maximumSparsityOf, type PrunableModel, uniformPolicy } from '@espalier/pruning'
import { evaluatePolicyNetwork } from './evaluate-policy-network.js'
import { evolve } from './evolution.js'
import {
  advanceFront,
  type FrontContext,
  type FrontPolicy,
  type PolicyFront,
  parametersOfChannel,
  startFront,
} from './policy-front.js'
import type { PolicyNetworkCheckpoint } from './policy-network.js'
import { createPolicySpace } from './policy-space.js'
import { repairOrder } from './repair-order.js'
import { rankDistinct, type Scorer } from './scored-policy.js'
import type { FrontEffort } from './search-effort.js'
import { trainedRange } from './train-policy-network.js'

export interface FrontTask {
  readonly model: PrunableModel
  readonly score: Scorer
  readonly targets: readonly number[]
  /** Trained for these targets. */
  readonly network: PolicyNetworkCheckpoint
  /** Measured policies, best first. */
  readonly measured: readonly KeptUnits[]
  readonly seed: number
  readonly effort: FrontEffort
}

/**
 * Builds the front of a generator over the range that its network was trained for. Beside the network and the measured
 * policies, a few policies found by evolution at sparsities spread over the range compete at every step. No policy of the
 * front is dominated by another one of it.
 */
export function buildPolicyFront(task: FrontTask): PolicyFront {
  const { model, score, targets, network, measured, seed, effort } = task
  const range = trainedRange(targets, maximumSparsityOf(model))
  const channels = ((range[1] - range[0]) * model.prunableParameters) / parametersOfChannel(model)
  const channelsPerStep = Math.max(1, Math.ceil(channels / effort.steps))
  const evolved = anchorsOf(range, effort.anchors).map((sparsity) => evolveAnchor(task, sparsity))
  const context = { model, score, network, measured, evolved, channelsPerStep, swaps: effort.swaps, seed }
  const policies = repairOrder(context, followChain(context, range, effort)).map(({ kept }) => kept)
  return { range, network, channelsPerStep, policies }
}

/** From the sparsest policy on, until one is as dense as the range goes. */
function followChain(
  context: FrontContext,
  [least, most]: readonly [number, number],
  effort: FrontEffort,
): FrontPolicy[] {
  const { model, network, measured, evolved } = context
  const fromNetwork = createPolicySpace(model, most).fromLogits(evaluatePolicyNetwork(network, most))
  const start = [...measured, ...evolved, fromNetwork, uniformPolicy(model, most)]
  const densest = (1 - least) * model.prunableParameters
  const chain = [startFront(context, most, start, effort.anchorScores)]
  for (let last = chain[0]; last && last.parameters < densest; last = chain.at(-1)) {
    chain.push(advanceFront(context, last))
  }
  return chain
}

function anchorsOf([least, most]: readonly [number, number], count: number): number[] {
  return Array.from({ length: count }, (_, index) => most - ((most - least) * index) / Math.max(1, count - 1))
}

function evolveAnchor({ model, score, network, measured, seed, effort }: FrontTask, sparsity: number): KeptUnits {
  const random = createRandomGenerator(seed, 'front-anchor', Math.round(1e6 * sparsity))
  const space = createPolicySpace(model, sparsity)
  const starts = [
    space.fromLogits(evaluatePolicyNetwork(network, sparsity)),
    uniformPolicy(model, sparsity),
    ...measured.map((kept) => space.project(kept)),
  ]
  const initial = rankDistinct(starts.map((kept) => ({ kept, score: score(kept), origin: 'network' as const })))
  const scores = effort.anchorScores
  const [best] = evolve(space, score, initial, { size: effort.anchorPopulation, scores }, random)
  return best?.kept ?? uniformPolicy(model, sparsity)
}
