import type { KeptUnits, ProposeResult } from '@espalier/contracts'
import { createRandomGenerator, type PolicyRules, type PolicyTarget, type PrunableModel } from '@espalier/pruning'
import { loadTensorBackend, type Tensors } from '@espalier/tensor-backend'
import { buildPolicyFront } from './build-policy-front.js'
import { createBoundScorer } from './confidence-bound.js'
import { searchByCrossEntropy } from './cross-entropy.js'
import { drawProposals } from './draw-proposals.js'
import { evolve } from './evolution.js'
import type { PolicyFront } from './policy-front.js'
import { PolicyNetwork, type PolicyNetworkCheckpoint } from './policy-network.js'
import { createTargetSpace, type PolicySpace } from './policy-space.js'
import { rankDistinct, type ScoredPolicy, type Scorer, type ScorerSource } from './scored-policy.js'
import type { SearchEffort } from './search-effort.js'
import { spreadOut } from './spread-out.js'
import { trainPolicyNetwork } from './train-policy-network.js'

/** Noise of the logits when the trained network is sampled. */
const SAMPLE_NOISE = 0.15
/** How far from every incumbent the best proposal is when exploring, as a share of the prunable parameters. */
const EXPLORING_DISTANCE = 0.04
/** Best measured policies a target that compete on the front of the generator. */
const FRONT_INCUMBENTS = 3

export interface NetworkTask {
  readonly model: PrunableModel
  readonly predictor: ScorerSource
  readonly rules: PolicyRules
  readonly count: number
  readonly incumbents: readonly (readonly KeptUnits[])[]
  readonly draws?: number | undefined
  readonly explores?: boolean | undefined
  readonly drifted?: boolean | undefined
  readonly checkpoint: PolicyNetworkCheckpoint | null
  readonly seed: number
  readonly round: number
  readonly effort: SearchEffort
}

type ProposedPolicy = ProposeResult['targets'][number]['policies'][number]

export type NetworkProposal = Omit<ProposeResult, 'seconds'> & {
  readonly checkpoint: PolicyNetworkCheckpoint
  /** What a generator answers from; null: the search has constraints, which a policy from a front may not fulfil. */
  readonly front: PolicyFront | null
}

/**
 * Trains the policy network against the predictor, samples it for every target, polishes the samples by cross-entropy
 * and evolution, and picks the best that are different from each other: near the predicted optimum, or, when
 * exploring, away from the incumbents; and those that draws from the predictor's posterior find best. Of the trained
 * network, the front of a generator is built. With `count` 0 that is all.
 */
export async function proposeWithNetwork(task: NetworkTask): Promise<NetworkProposal> {
  const { tf, name } = await loadTensorBackend()
  const score = task.predictor.createScorer()
  const network = trainNetwork(tf, task, score)
  try {
    const logits = network.logits(task.rules.targets.map(({ sparsity }) => sparsity))
    const targets = task.rules.targets.map((target, index) => ({
      policies: proposeForTarget(task, index, target, score, logits[index] ?? []),
    }))
    const checkpoint = network.checkpoint()
    return { targets, backend: name, checkpoint, front: frontOf(task, score, checkpoint) }
  } finally {
    network.dispose()
  }
}

function frontOf(task: NetworkTask, score: Scorer, network: PolicyNetworkCheckpoint): PolicyFront | null {
  const { model, rules, incumbents, seed, effort } = task
  if (rules.targets.some(({ allowed }) => allowed !== null)) return null
  const targets = rules.targets.map(({ sparsity }) => sparsity)
  const measured = incumbents.flatMap((ranked) => ranked.slice(0, FRONT_INCUMBENTS))
  return buildPolicyFront({ model, score, targets, network, measured, seed, effort: effort.front })
}

function trainNetwork(tf: Tensors, task: NetworkTask, score: Scorer): PolicyNetwork {
  const { model, rules, checkpoint, seed, round, effort } = task
  const random = createRandomGenerator(seed, 'policy-network', round)
  const network = checkpoint
    ? PolicyNetwork.fromCheckpoint(tf, checkpoint, model.modules.length)
    : PolicyNetwork.create(tf, model.modules.length, effort.hiddenUnits, random)
  trainPolicyNetwork({
    network,
    score,
    boundScore: createBoundScorer(task.predictor),
    rules,
    effort,
    steps: checkpoint ? effort.retrainingSteps : effort.trainingSteps,
    random,
  })
  return network
}

function proposeForTarget(
  task: NetworkTask,
  targetIndex: number,
  target: PolicyTarget,
  score: Scorer,
  logits: ArrayLike<number>,
): ProposedPolicy[] {
  const { model, predictor, incumbents, draws = 0, seed, round, effort } = task
  if (task.count === 0) return []
  const canDraw = predictor.drawScorer !== undefined
  const count = canDraw ? task.count : task.count * (1 + draws)
  const explores = task.explores || (task.drifted && !canDraw)
  const space = createTargetSpace(target, model)
  const random = createRandomGenerator(seed, 'propose', round, targetIndex)
  const scored = (kept: readonly number[], origin: ScoredPolicy['origin']) => ({ kept, score: score(kept), origin })
  const measured = (incumbents[targetIndex] ?? []).map((kept) => space.project(kept))
  const samples = sampleNetwork(space, logits, effort.networkSamples, random).map((kept) => scored(kept, 'network'))
  const elites = searchByCrossEntropy(space, score, logits, effort, random)
  const initial = rankDistinct([
    ...samples,
    ...measured.map((kept) => scored(kept, 'evolution')),
    scored(target.uniform(), 'uniform'),
    ...elites,
  ])
  const evolved = evolve(space, score, initial, { size: effort.population, scores: effort.evolutionScores }, random)
  const pool = rankDistinct([...evolved, ...initial])
  const novelty = explores ? EXPLORING_DISTANCE : 0
  const { spreadScores, noveltyScores } = effort
  const spread = spreadOut({ space, score, pool, measured, novelty, count, spreadScores, noveltyScores, random })
  const proposed = rankDistinct(spread.map(({ kept, origin }) => scored(space.project(kept), origin)))
  const drawn = drawForTarget(task, targetIndex, { space, pool, measured, proposed })
  return [
    ...proposed.map(({ kept, origin }) => ({ keptUnits: [...kept], origin })),
    ...drawn.map(({ kept, origin }) => ({ keptUnits: [...space.project(kept)], origin, drawn: true as const })),
  ]
}

interface Found {
  readonly space: PolicySpace
  readonly pool: readonly ScoredPolicy[]
  readonly measured: readonly (readonly number[])[]
  /** Best first. */
  readonly proposed: readonly ScoredPolicy[]
}

function drawForTarget(
  { predictor, draws = 0, explores, drifted, seed, round, effort }: NetworkTask,
  targetIndex: number,
  { space, pool, measured, proposed }: Found,
): readonly ScoredPolicy[] {
  const { drawScorer } = predictor
  const [best] = proposed
  if (!drawScorer || !best) return []
  const random = createRandomGenerator(seed, 'draw', round, targetIndex)
  const scores = Math.min(effort.drawScores, Math.floor(effort.allDrawScores / Math.max(1, draws)))
  const known = [...measured, ...proposed.map(({ kept }) => kept)]
  return drawProposals({
    ...{ space, random, pool, best: best.kept, count: draws, scores },
    roams: explores || drifted || false,
    drawScorer: () => drawScorer(random),
    isNew: (kept) => known.every((other) => space.distance(other, kept) > 0),
  })
}

/** What the network itself proposes: its mean first, then samples around it. */
export function sampleNetwork(
  space: PolicySpace,
  logits: ArrayLike<number>,
  count: number,
  random: { normal(): number },
): number[][] {
  return Array.from({ length: count }, (_, sample) =>
    space.fromLogits(
      Float64Array.from(logits, (logit) => (sample === 0 ? logit : logit + SAMPLE_NOISE * random.normal())),
    ),
  )
}
