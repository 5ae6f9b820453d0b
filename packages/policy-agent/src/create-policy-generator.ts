import { EspalierError, type KeptUnits } from '@espalier/contracts'
import { type PrunableModel, parametersToRemove } from '@espalier/pruning'
import {
  type FrontPolicy,
  type FrontScale,
  frontPolicy,
  growths,
  type PolicyFront,
  parametersOfChannel,
  spaceKeeping,
} from './policy-front.js'
import type { ScorerSource } from './scored-policy.js'

/** Gives a policy for any sparsity of its range, in microseconds. */
export interface PolicyGenerator {
  readonly range: readonly [number, number]
  /**
   * The policy of the front at a sparsity: at most that sparsity, less than one channel under it. The same sparsity gives
   * the same policy, whatever was asked before, and a lower one never a worse prediction.
   * @throws EspalierError SPARSITY_UNTRAINED
   */
  generate(sparsity: number): KeptUnits
}

export function createPolicyGenerator(
  front: PolicyFront,
  { model, predictor }: { readonly model: PrunableModel; readonly predictor: ScorerSource },
): PolicyGenerator {
  const scale = { model, score: predictor.createScorer() }
  const policies = front.policies.map((kept) => frontPolicy(scale, kept))
  const [least, most] = front.range
  return {
    range: front.range,
    generate(sparsity) {
      if (!(sparsity >= least && sparsity <= most)) throw untrained(sparsity, front.range)
      const needed = model.prunableParameters - parametersToRemove(model, sparsity)
      const index = policies.findIndex(({ parameters }) => parameters >= needed)
      const [sparser, denser] = [policies[index - 1], policies[index] ?? policies.at(-1)]
      if (!denser) throw new EspalierError('INTERNAL', 'The front of the generator has no policy')
      return sparser ? between(scale, sparser, denser, needed, front.channelsPerStep).kept : denser.kept
    },
  }
}

/**
 * The policy of a step of several channels that keeps `needed` parameters: the channels of the step one after the
 * other, found by halving. Each half is predicted between its ends, where any growth of one block is.
 */
function between(scale: FrontScale, from: FrontPolicy, to: FrontPolicy, needed: number, channels: number): FrontPolicy {
  const channel = parametersOfChannel(scale.model)
  const count = Math.ceil((needed - from.parameters) / channel)
  let [sparser, denser, low, high] = [from, to, 0, channels]
  if (from.parameters + count * channel >= to.parameters) return to
  while (high - low > 1 && high !== count) {
    const middle = low + ((high - low) >> 1)
    const policy = growWithin(scale, sparser, denser, middle - low, (middle - low) / (high - low))
    if (middle < count) [low, sparser] = [middle, policy]
    else [high, denser] = [middle, policy]
  }
  // Where no block had room, KV groups were moved, and what is kept is not a number of channels more.
  return denser.parameters < needed + channel ? denser : project(scale, from, to, needed, count / channels)
}

/** A growth of one block that is predicted between the two; where no block has room, any policy of that size. */
function growWithin(
  scale: FrontScale,
  from: FrontPolicy,
  to: FrontPolicy,
  channels: number,
  share: number,
): FrontPolicy {
  const { model } = scale
  const parameters = from.parameters + channels * parametersOfChannel(model)
  const grown = growths(spaceKeeping(model, parameters), from.kept, channels).map((kept) => frontPolicy(scale, kept))
  return grown.length > 0 ? nearest(grown, from, to, share) : project(scale, from, to, parameters, share)
}

/** One of the two, brought to a number of parameters. */
function project(
  scale: FrontScale,
  from: FrontPolicy,
  to: FrontPolicy,
  parameters: number,
  share: number,
): FrontPolicy {
  const space = spaceKeeping(scale.model, parameters)
  const candidates = [from, to].map(({ kept }) => frontPolicy(scale, space.project(kept)))
  return nearest(candidates, from, to, share)
}

/**
 * The candidate that is predicted between the two, as far from both as the share says: so that there is room for those
 * before and after it. If there is none, the nearest to that.
 */
function nearest(candidates: readonly FrontPolicy[], from: FrontPolicy, to: FrontPolicy, share: number): FrontPolicy {
  const wanted = from.score + share * (to.score - from.score)
  const outside = ({ score }: FrontPolicy) => Math.max(0, score - from.score, to.score - score)
  const distance = ({ score }: FrontPolicy) => Math.abs(score - wanted)
  return candidates.reduce((best, other) => {
    const difference = outside(other) - outside(best) || distance(other) - distance(best)
    return difference < 0 ? other : best
  })
}

function untrained(sparsity: number, range: readonly [number, number]): EspalierError {
  return new EspalierError(
    'SPARSITY_UNTRAINED',
    `The generator was not trained for the sparsity ${sparsity}; allowed is ${range[0]} to ${range[1]}, around the targets of the search`,
    { sparsity, allowed: range },
  )
}
