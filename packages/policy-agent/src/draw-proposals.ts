import { climb, hasPrefix, type Slope } from './climb.js'
import type { ScoredPolicy, Scorer } from './scored-policy.js'

/**
 * Share of the modules, from the first on, that every second pair, the first one among them, has in common with the best
 * proposal, and the two of a pair with each other: an evaluator computes what policies have in common once.
 */
const COMMON_WITH_BEST = 1 / 3
const COMMON_IN_PAIR = 2 / 3

interface Draws extends Omit<Slope, 'score'> {
  /** A scorer by another draw each time: what may be true, given what was measured. */
  readonly drawScorer: () => Scorer
  readonly count: number
  /** Where to start. */
  readonly pool: readonly ScoredPolicy[]
  /** The best proposal by the predicted mean. */
  readonly best: readonly number[]
  /** Neither measured nor proposed already. */
  readonly isNew: (kept: readonly number[]) => boolean
  /** Whether no pair needs to have anything in common with the best proposal. */
  readonly roams: boolean
  /** Policies to score for each. */
  readonly scores: number
}

/**
 * Thompson sampling (Thompson 1933; Russo et al. 2018, section 3): each proposal is the best policy if one draw from the
 * predictor's posterior were the truth. So policies are tried as often as they may be the best, whatever the predicted
 * mean says: what all proposals by the mean have wrong alike, none of them would ever show.
 * @returns at most `count`, in the order drawn; their scores are those of their draws
 */
export function drawProposals(draws: Draws): ScoredPolicy[] {
  const { space, drawScorer, count, best, isNew, roams } = draws
  const modules = space.model.modules.length
  const drawn: ScoredPolicy[] = []
  const isFree = (kept: readonly number[]) =>
    isNew(kept) && drawn.every((other) => space.distance(other.kept, kept) > 0)
  let leader = best
  for (let draw = 0; draw < count; draw++) {
    const [pair, follows] = [draw >> 1, draw % 2 === 1]
    const commonWithBest = roams || pair % 2 === 1 ? 0 : COMMON_WITH_BEST
    const common = Math.floor((follows ? COMMON_IN_PAIR : commonWithBest) * modules)
    const found = climbByDraw(draws, drawScorer(), follows ? leader : best, common, isFree)
    leader = found.kept
    if (isFree(found.kept)) drawn.push(found)
  }
  return drawn
}

/** From the best policy of the pool that agrees with `like` on the first `common` modules. */
function climbByDraw(
  { space, random, pool, scores }: Draws,
  score: Scorer,
  like: readonly number[],
  common: number,
  isFree: (kept: readonly number[]) => boolean,
): ScoredPolicy {
  let start: ScoredPolicy = { kept: like, score: score(like), origin: 'evolution' }
  for (const { kept } of pool) {
    const value = hasPrefix(kept, like, common) ? score(kept) : Number.POSITIVE_INFINITY
    if (value < start.score) start = { kept, score: value, origin: 'evolution' }
  }
  // A start that is not free gives way to the first free policy, however much worse.
  const from = isFree(start.kept) ? start : { ...start, score: Number.POSITIVE_INFINITY }
  return climb({ space, score, random }, from, isFree, common, scores)
}
