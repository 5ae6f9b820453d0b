import { climb, hasPrefix, mutateAfter, type Slope } from './climb.js'
import type { ScoredPolicy } from './scored-policy.js'

/** Least distance of two proposals, as a share of the prunable parameters that only one of them keeps. */
const LEAST_DISTANCE = 0.02
/** Where policies are too few for a distance, it is halved so many times, then any difference counts. */
const HALVINGS = 4
/** Proposals that share the scores of the list; fewer leave what the others would have taken. */
const FEWEST_SHARES = 16
/** Mutations of a policy in search of a place far enough from the others. */
const MOST_PUSHES = 200
/**
 * Share of the modules, from the first on, that proposals have in common with the best one where the model has enough
 * such policies. An evaluator computes what policies have in common once, so a round costs less time.
 */
const COMMON_SHARE = 2 / 3

interface Spread extends Slope {
  /** Where to start, best first. */
  readonly pool: readonly ScoredPolicy[]
  /** Already measured: proposing one again would teach nothing. */
  readonly measured: readonly (readonly number[])[]
  /** Least distance of the first proposal from what was measured, a share like LEAST_DISTANCE; 0: any difference will do. */
  readonly novelty: number
  readonly count: number
  /** Policies to score for the whole list, and for a first proposal that has to be novel. */
  readonly spreadScores: number
  readonly noveltyScores: number
}

/**
 * The best policy of the pool, then again and again the best one that keeps its distance from those before it: the
 * nearest start in the pool, improved by climbing as far as the distance allows. Several good but different policies
 * tell a search more than neighbours of one optimum, which the predictor cannot rank. They differ in their last
 * modules: the first ones are those of the best policy, found anew in every round.
 * @returns at most `count` distinct policies, best first; fewer where the model has no more
 */
export function spreadOut(spread: Spread): ScoredPolicy[] {
  const first = findFirst(spread)
  if (!first) return []
  const chosen = [first]
  for (const commonShare of [COMMON_SHARE, 0]) {
    const common = Math.floor(commonShare * spread.space.model.modules.length)
    for (const limit of halvingsOf(LEAST_DISTANCE)) {
      while (chosen.length < spread.count) {
        const next = findDistant(spread, chosen, limit, common)
        if (!next) break
        chosen.push(next)
      }
    }
  }
  return chosen.sort((a, b) => a.score - b.score)
}

/** A distance, then ever smaller ones for where policies are too few for it. */
function halvingsOf(distance: number): number[] {
  return [...Array.from({ length: HALVINGS }, (_, halving) => distance / 2 ** halving), 0]
}

/** The best policy that is new, as far from everything measured as is asked for. */
function findFirst(spread: Spread): ScoredPolicy | undefined {
  const { novelty, noveltyScores } = spread
  for (const limit of novelty > 0 ? halvingsOf(novelty) : [0]) {
    const isFree = (kept: readonly number[]) => isNew(spread, kept, limit)
    const start = spread.pool.find(({ kept }) => isFree(kept)) ?? pushAway(spread, spread.pool.slice(0, 1), isFree, 0)
    if (start) return climb(spread, start, isFree, 0, novelty > 0 ? noveltyScores : shareOf(spread))
  }
  return undefined
}

/** @param common how many first modules it has as the first one chosen has them */
function findDistant(
  spread: Spread,
  chosen: readonly ScoredPolicy[],
  limit: number,
  common: number,
): ScoredPolicy | undefined {
  const isFree = (kept: readonly number[]) =>
    chosen.every((other) => isBeyond(spread.space.distance(other.kept, kept), limit)) && isNew(spread, kept, 0)
  const first = chosen[0]?.kept ?? []
  const sharesPrefix = (kept: readonly number[]) => hasPrefix(kept, first, common)
  const start =
    spread.pool.find(({ kept }) => sharesPrefix(kept) && isFree(kept)) ?? pushAway(spread, chosen, isFree, common)
  return start && climb(spread, start, isFree, common, shareOf(spread))
}

/** Policies to score for one proposal. */
function shareOf({ spreadScores, count }: Spread): number {
  return spreadScores / Math.max(count, FEWEST_SHARES)
}

function isNew({ space, measured }: Spread, kept: readonly number[], limit: number): boolean {
  return measured.every((other) => isBeyond(space.distance(other, kept), limit))
}

function isBeyond(distance: number, limit: number): boolean {
  return distance > 0 && distance >= limit
}

/** Mutates one of these policies, drawn at random, again and again, until it is free. */
function pushAway(
  { space, score, random }: Spread,
  from: readonly ScoredPolicy[],
  isFree: (kept: readonly number[]) => boolean,
  common: number,
): ScoredPolicy | undefined {
  let kept = [...(from[random.integer(from.length)]?.kept ?? [])]
  for (let push = 0; push < MOST_PUSHES; push++) {
    kept = mutateAfter(space, kept, common, random)
    if (isFree(kept)) return { kept, score: score(kept), origin: 'evolution' }
  }
  return undefined
}
