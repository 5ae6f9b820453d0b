import type { RandomGenerator } from '@espalier/pruning'
import { mutate } from './evolution.js'
import type { PolicySpace } from './policy-space.js'
import type { ScoredPolicy, Scorer } from './scored-policy.js'

/** Least distance of two proposals, as a share of the prunable parameters that only one of them keeps. */
const LEAST_DISTANCE = 0.02
/** Where policies are too few for that, the distance is halved so many times, then any difference counts. */
const HALVINGS = 4
/** Mutations of a policy in search of a place far enough from the others. */
const MOST_PUSHES = 200

interface Spread {
  readonly space: PolicySpace
  readonly score: Scorer
  /** Where to start, best first. */
  readonly pool: readonly ScoredPolicy[]
  /** Already measured: proposing one again would teach nothing. */
  readonly measured: readonly (readonly number[])[]
  readonly count: number
  /** Policies to score for the whole list. */
  readonly scores: number
  readonly random: RandomGenerator
}

/**
 * The best policy of the pool, then again and again the best one that keeps its distance from those before it: the
 * nearest start in the pool, improved by climbing as far as the distance allows. Several good but different policies
 * tell a search more than neighbours of one optimum, which the predictor cannot rank.
 * @returns at most `count` distinct policies, best first; fewer where the model has no more
 */
export function spreadOut(spread: Spread): ScoredPolicy[] {
  const chosen: ScoredPolicy[] = []
  const limits = [...Array.from({ length: HALVINGS }, (_, halving) => LEAST_DISTANCE / 2 ** halving), 0]
  for (const limit of limits) {
    while (chosen.length < spread.count) {
      const next = findDistant(spread, chosen, limit)
      if (!next) break
      chosen.push(next)
    }
  }
  return chosen.sort((a, b) => a.score - b.score)
}

function findDistant(spread: Spread, chosen: readonly ScoredPolicy[], limit: number): ScoredPolicy | undefined {
  const isFree = (kept: readonly number[]) =>
    chosen.every((other) => isBeyond(spread.space.distance(other.kept, kept), limit)) &&
    spread.measured.every((other) => spread.space.distance(other, kept) > 0)
  const start = spread.pool.find(({ kept }) => isFree(kept)) ?? pushAway(spread, chosen, isFree)
  return start && climb(spread, start, isFree)
}

function isBeyond(distance: number, limit: number): boolean {
  return distance > 0 && distance >= limit
}

/** Mutates a random good policy, again and again, until it is free. */
function pushAway(
  { space, score, pool, random }: Spread,
  chosen: readonly ScoredPolicy[],
  isFree: (kept: readonly number[]) => boolean,
): ScoredPolicy | undefined {
  const from = chosen.length > 0 ? chosen[random.integer(chosen.length)] : pool[0]
  if (!from) return undefined
  const kept = [...from.kept]
  for (let push = 0; push < MOST_PUSHES; push++) {
    mutate(space, kept, random)
    if (isFree(kept)) return { kept, score: score(kept), origin: 'evolution' }
  }
  return undefined
}

function climb(
  { space, score, scores, count, random }: Spread,
  start: ScoredPolicy,
  isFree: (kept: readonly number[]) => boolean,
): ScoredPolicy {
  let best = start
  for (let scored = 0; scored < scores / count; scored++) {
    const kept = [...best.kept]
    mutate(space, kept, random)
    const value = score(kept)
    if (value < best.score && isFree(kept)) best = { kept, score: value, origin: 'evolution' }
  }
  return best
}
