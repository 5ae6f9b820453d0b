import type { KeptUnits } from '@espalier/contracts'
import { createRandomGenerator, keptParametersOf, type PrunableModel, type RandomGenerator } from '@espalier/pruning'
import { evaluatePolicyNetwork } from './evaluate-policy-network.js'
import { mutate } from './evolution.js'
import type { PolicyNetworkCheckpoint } from './policy-network.js'
import { createPolicySpace, type PolicySpace } from './policy-space.js'
import type { Scorer } from './scored-policy.js'

/** What a generator answers from: its network, and the front that was built with it. */
export interface PolicyFront {
  /** Least and most sparsity, both reached. */
  readonly range: readonly [number, number]
  readonly network: PolicyNetworkCheckpoint
  /** Channels that one policy keeps more than the one before it, at most. */
  readonly channelsPerStep: number
  /** The sparsest first: each keeps more parameters than the one before it and is predicted no worse. */
  readonly policies: readonly KeptUnits[]
}

/** One policy of a front. */
export interface FrontPolicy {
  readonly kept: KeptUnits
  /** Prunable parameters kept. */
  readonly parameters: number
  readonly score: number
}

/** What scores policies of a model. */
export interface FrontScale {
  readonly model: PrunableModel
  readonly score: Scorer
}

/** What the steps of a chain need. */
export interface FrontContext extends FrontScale {
  readonly network: PolicyNetworkCheckpoint
  /** Measured policies: their projections compete at every step. */
  readonly measured: readonly KeptUnits[]
  /** Policies found by evolution, the sparsest first: of them the two nearest compete. */
  readonly evolved: readonly KeptUnits[]
  readonly channelsPerStep: number
  /** Swaps that are tried in a step. */
  readonly swaps: number
  readonly seed: number
}

/** Swaps tried beyond the usual ones where the prediction would rise; seldom needed. */
const MOST_RESCUES = 200

export function frontPolicy({ model, score }: FrontScale, kept: KeptUnits): FrontPolicy {
  return { kept, parameters: keptParametersOf(model, kept), score: score(kept) }
}

/**
 * The next denser policy: units added to the one before, or a better policy from elsewhere (the policy network, a
 * measured policy, swaps). So the prediction falls along a chain, but for what steps in the predictor do. It keeps more parameters than `from`, at most `channelsPerStep` channels more and
 * in steps of several channels not fewer than one channel less than that.
 */
export function advanceFront(context: FrontContext, from: FrontPolicy): FrontPolicy {
  const { model, channelsPerStep } = context
  const channel = parametersOfChannel(model)
  const least = Math.min(from.parameters + (channelsPerStep - 1) * channel + 1, model.prunableParameters)
  const most = from.parameters + channelsPerStep * channel
  const space = spaceKeeping(model, least)
  const contest = new Contest(context, least, most)
  for (const kept of growths(space, from.kept, channelsPerStep)) contest.enter(kept)
  contest.enter(space.fromLogits(evaluatePolicyNetwork(context.network, space.sparsity)))
  for (const kept of context.measured) contest.enter(space.project(kept))
  for (const kept of neighboursOf(context, least)) contest.enter(space.project(kept))
  const random = createRandomGenerator(context.seed, 'front', from.parameters)
  improveBySwaps(contest, space, context.swaps, random)
  // A predictor with steps in it can say that every growth does harm: then a better trade has to be found.
  for (let more = 0; more < MOST_RESCUES && isWorse(contest.best, from); more++) {
    improveBySwaps(contest, space, 1, random)
  }
  // Where nothing can grow by so little, the projection alone decides.
  return contest.best ?? frontPolicy(context, space.project(from.kept))
}

/** The sparsest policy of a chain: the best of the candidates, improved by many swaps. */
export function startFront(
  context: FrontContext,
  sparsity: number,
  candidates: readonly KeptUnits[],
  swaps: number,
): FrontPolicy {
  const space = createPolicySpace(context.model, sparsity)
  const contest = new Contest(context, 0, Number.POSITIVE_INFINITY)
  for (const kept of candidates) contest.enter(space.project(kept))
  improveBySwaps(contest, space, swaps, createRandomGenerator(context.seed, 'front-start'))
  return contest.best ?? frontPolicy(context, space.project(space.model.modules.map(({ units }) => units)))
}

function isWorse(policy: FrontPolicy | undefined, than: FrontPolicy): boolean {
  return policy === undefined || policy.score > than.score
}

/** The evolved policies on both sides of a number of parameters. */
function neighboursOf({ model, evolved }: FrontContext, parameters: number): readonly KeptUnits[] {
  const denser = evolved.findIndex((kept) => keptParametersOf(model, kept) >= parameters)
  return denser < 0 ? evolved.slice(-1) : evolved.slice(Math.max(0, denser - 1), denser + 1)
}

/** The best policy so far among those that keep the right number of parameters. */
class Contest {
  best: FrontPolicy | undefined
  readonly #context: FrontContext
  readonly #least: number
  readonly #most: number

  constructor(context: FrontContext, least: number, most: number) {
    this.#context = context
    this.#least = least
    this.#most = most
  }

  enter(kept: KeptUnits): void {
    const parameters = keptParametersOf(this.#context.model, kept)
    if (parameters < this.#least || parameters > this.#most) return
    const score = this.#context.score(kept)
    if (this.best === undefined || score < this.best.score) this.best = { kept, parameters, score }
  }
}

function improveBySwaps(contest: Contest, space: PolicySpace, swaps: number, random: RandomGenerator): void {
  for (let swap = 0; swap < swaps && contest.best; swap++) {
    const kept = [...contest.best.kept]
    mutate(space, kept, random)
    contest.enter(kept)
  }
}

/** The policy with so many more channels in one block, once for every block that has room for them. */
export function growths({ model, units }: PolicySpace, kept: KeptUnits, channels: number): KeptUnits[] {
  return model.modules
    .filter(({ kind, index }) => kind === 'ffn' && (kept[index] ?? 0) + channels <= (units[index] ?? 0))
    .map(({ index }) => kept.with(index, (kept[index] ?? 0) + channels))
}

/** Policies that keep at least so many parameters, and less than a channel more. */
export function spaceKeeping(model: PrunableModel, parameters: number): PolicySpace {
  return createPolicySpace(model, (model.prunableParameters - parameters) / model.prunableParameters)
}

export function parametersOfChannel(model: PrunableModel): number {
  return model.modules.find(({ kind }) => kind === 'ffn')?.parametersPerUnit ?? 1
}
