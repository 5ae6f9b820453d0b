import { type AgentKind, EspalierError, type KeptUnits, type ProposeResult } from '@espalier/contracts'
import {
  createRandomGenerator,
  hashUnits,
  type PolicyRules,
  type PolicyTarget,
  type PrunableModel,
  plainPolicyRules,
} from '@espalier/pruning'
import type { PolicyFront } from './policy-front.js'
import type { PolicyNetworkCheckpoint } from './policy-network.js'
import { proposeWithNetwork } from './propose-with-network.js'
import type { ScorerSource } from './scored-policy.js'
import { planEffort, type SearchEffort } from './search-effort.js'

export interface ProposeTask {
  readonly agent: AgentKind
  readonly model: PrunableModel
  /** What policies are tried against; only agent `network` needs it. */
  readonly predictor: ScorerSource | null
  /** Sparsities wanted. */
  readonly targets: readonly number[]
  /** Targets and constraints of the search, in the order of `targets`; by default those sparsities and nothing else. */
  readonly rules?: PolicyRules
  /** Policies wanted for each target; 0: only the network and the front are wanted. */
  readonly count: number
  /**
   * Policies for each target, beside `count`, that agent `network` proposes because each is the best by one draw from the
   * predictor's posterior; left out: none. With a predictor that has no posterior, `count` more by its mean for each.
   */
  readonly draws?: number | undefined
  /** Best measured policies of each target, best first. They are not proposed again. */
  readonly incumbents: readonly (readonly KeptUnits[])[]
  /** Whether proposals of agent `network` keep away from the incumbents, where the predictor may have missed something. */
  readonly explores?: boolean | undefined
  /** Whether the predictor's intervals missed too often of late: draws then roam, and where there are none, it explores. */
  readonly drifted?: boolean | undefined
  /** The policy network of the round before, to go on from. */
  readonly checkpoint?: PolicyNetworkCheckpoint | null
  readonly seed: number
  readonly round: number
  /** How much work agent `network` does; by default `planEffort` of the number of modules. */
  readonly effort?: SearchEffort
}

export type Proposal = Omit<ProposeResult, 'seconds'> & {
  /** The trained policy network; null for the agents that have none. */
  readonly checkpoint: PolicyNetworkCheckpoint | null
  /** What a generator answers from, for any sparsity around the targets; null for the agents without a network. */
  readonly front: PolicyFront | null
}

/** A random policy that was seen before is drawn again, this many times a policy wanted. */
const DRAWS_A_POLICY = 20

/**
 * Proposes `count` distinct policies for each target, all at its sparsity and within its constraints, fewer where a model has no more:
 * `network` best predicted first and different from each other, then those of draws, `random` in the order drawn, `uniform` only one.
 * The same task gives the same policies.
 * @throws EspalierError SPARSITY_UNREACHABLE, POLICY_OTHER_MODEL (checkpoint), INTERNAL (`network` without predictor)
 */
export async function proposePolicies(task: ProposeTask): Promise<Proposal> {
  const rules = task.rules ?? plainPolicyRules(task.model, task.targets)
  switch (task.agent) {
    case 'uniform':
      return withoutNetwork(rules, 'uniform', (target) => [target.uniform()])
    case 'random':
      return withoutNetwork(rules, 'random', (target, index) => drawRandomPolicies(task, target, index))
    case 'network':
      return proposeWithNetwork({
        ...task,
        rules,
        checkpoint: task.checkpoint ?? null,
        predictor: predictorOf(task),
        effort: task.effort ?? planEffort(task.model.modules.length, task.predictor?.scoreMultiplications),
      })
  }
}

function withoutNetwork(
  { targets }: PolicyRules,
  origin: 'uniform' | 'random',
  propose: (target: PolicyTarget, targetIndex: number) => readonly KeptUnits[],
): Proposal {
  const policiesOf = (target: PolicyTarget, index: number) =>
    propose(target, index).map((kept) => ({ keptUnits: [...kept], origin }))
  return {
    targets: targets.map((target, index) => ({ policies: policiesOf(target, index) })),
    backend: 'none',
    checkpoint: null,
    front: null,
  }
}

function drawRandomPolicies(task: ProposeTask, target: PolicyTarget, targetIndex: number): KeptUnits[] {
  const random = createRandomGenerator(task.seed, 'random-agent', task.round, targetIndex)
  const seen = new Set((task.incumbents[targetIndex] ?? []).map(hashUnits))
  const drawn: KeptUnits[] = []
  for (let draw = 0; drawn.length < task.count && draw < DRAWS_A_POLICY * task.count; draw++) {
    const kept = target.random(random)
    const key = hashUnits(kept)
    if (seen.has(key)) continue
    seen.add(key)
    drawn.push(kept)
  }
  return drawn
}

function predictorOf({ predictor, round }: ProposeTask): ScorerSource {
  if (predictor) return predictor
  throw new EspalierError('INTERNAL', `The agent "network" needs a trained predictor; round ${round} has none`, {
    round,
  })
}
