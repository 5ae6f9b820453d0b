import { createRandomGenerator } from '@espalier/pruning'
import { type FrontContext, type FrontPolicy, frontPolicy } from './policy-front.js'
import { at } from './policy-space.js'

/** Trades tried to find one that costs just enough. */
const TRADES = 400

/**
 * Makes a chain of policies, the sparsest first, a front. Where a predictor with steps in it says that a policy is better
 * than the denser one after it, the denser one was found to be the best of its size, so the sparser one gives way:
 * channels are traded between two of its blocks until it is predicted no better. Such differences are far below the
 * predictor's error; a front in which both stood would only show them off.
 */
export function repairOrder(context: FrontContext, chain: readonly FrontPolicy[]): FrontPolicy[] {
  const front = [...chain]
  for (let index = front.length - 2; index >= 0; index--) {
    const [policy, denser] = [front[index], front[index + 1]]
    if (!policy || !denser || policy.score >= denser.score) continue
    front[index] = giveWay(context, policy, denser.score)
  }
  return front
}

/** The best policy of the same size that is predicted no better than `least`. */
function giveWay(context: FrontContext, policy: FrontPolicy, least: number): FrontPolicy {
  const { model, seed } = context
  const random = createRandomGenerator(seed, 'front-order', policy.parameters)
  const channels = model.modules.filter(({ kind }) => kind === 'ffn')
  let best = policy
  for (let trade = 0; trade < TRADES; trade++) {
    const [giver, taker] = [channels[random.integer(channels.length)], channels[random.integer(channels.length)]]
    if (!giver || !taker || giver === taker) continue
    const room = Math.min(at(policy.kept, giver.index) - 1, taker.units - at(policy.kept, taker.index))
    if (room < 1) continue
    const moved = Math.floor((room + 1) ** random.uniform())
    const kept = policy.kept
      .with(giver.index, at(policy.kept, giver.index) - moved)
      .with(taker.index, at(policy.kept, taker.index) + moved)
    const traded = frontPolicy(context, kept)
    const isNearer = best.score < least ? traded.score > best.score : traded.score >= least && traded.score < best.score
    if (isNearer) best = traded
  }
  return best
}
