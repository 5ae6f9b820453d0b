import type { SearchSettings } from '@espalier/contracts'
import type { AllowedPolicies, PrunableModel } from '@espalier/pruning'
import { type EarlierKnowledge, nothingKnown } from './earlier-knowledge.js'
import { probedModules, probePolicies } from './probe-policies.js'
import { costOf, type RungSettings, rungsOf } from './rungs.js'

/** The settings that decide how a budget is spent. */
export type BudgetSettings = Pick<SearchSettings, 'budget' | 'agent' | 'finalists'> &
  RungSettings & {
    readonly targets: readonly unknown[]
    /** Evaluations that only serve to choose the metric. */
    readonly trials: number
  }

/** How the real evaluations of a search are spent. Every number follows from the settings and the model's shape. */
export interface BudgetPlan {
  /** Layers that one probe prunes together; 0: no probes. */
  readonly probeLayers: number
  readonly probes: number
  /** Modules that earlier searches have probed, which none of the probes prunes. */
  readonly probedBefore: ReadonlySet<number>
  /** Windows that a probe is measured on: a rung of the fidelity ladder. */
  readonly probeWindows: number
  /** Heterogeneous random policies before the first round, over all targets. */
  readonly randoms: number
  /** Policies evaluated in each round, a target: one entry a round. */
  readonly perRound: readonly number[]
  /** Policies a target that the final measurement compares; 0: none. */
  readonly finalists: number
}

/** Probes are measured on the longest rung on which they take no more than this share of the free evaluations. */
const PROBE_RUNG_SHARE = 0.2
/** Share of the free evaluations that probes may take on the shortest rung. Beyond it neighbouring layers share one. */
const PROBE_SHARE = 0.7
/** Share of what is left after the probes that goes to random policies: they teach the predictor interactions. */
const RANDOM_SHARE = 0.15
/** More than this many random policies a module teach no more. */
const RANDOMS_A_MODULE = 2
/** A final measurement is long: it may take one evaluation in ten. */
const FINAL_SHARE = 0.1
/** Fewest policies a target and round; of many evaluations both rounds and policies a round grow, as the square root. */
const POLICIES_A_ROUND = 3

/** Smallest budget of a search: the dense model and, for every target, the uniform policy. */
export function minimumBudget(targets: number): number {
  return targets + 1
}

/**
 * Splits the budget into probes, random policies, rounds and finalists.
 *
 * @param longerFinal whether the final measurement has more windows than an evaluation of the search;
 *   without it finalists would only be measured twice
 * @param allowed what constraints allow; modules that they leave whole need no probe
 * @param known by earlier searches. Nothing of it is measured again, and a heterogeneous policy of a target stands for a
 *   random one; what that saves goes to the rounds
 */
export function planBudget(
  settings: BudgetSettings,
  model: PrunableModel,
  longerFinal: boolean,
  allowed: AllowedPolicies | null = null,
  known: EarlierKnowledge = nothingKnown,
): BudgetPlan {
  const targets = settings.targets.length
  const none = {
    probeLayers: 0,
    probes: 0,
    probedBefore: new Set<number>(),
    probeWindows: settings.validationWindows,
    randoms: 0,
    perRound: [],
    finalists: 0,
  }
  if (settings.agent === 'uniform') return none
  const finalists = longerFinal ? planFinalists(settings) : 0
  const free = settings.budget - (minimumBudget(targets) - known.fixed) - settings.trials - finalists * targets
  if (free <= 0) return none
  if (settings.agent === 'random') return { ...none, perRound: splitRounds(free, targets), finalists }

  const plannedProbes = planProbes(model, free, settings, allowed, known)
  const rest = Math.floor(free - plannedProbes.probes * costOf({ windows: plannedProbes.probeWindows }, settings))
  const perRound = splitRounds(rest - planRandoms(model, rest, targets, known), targets)
  const guided = perRound.reduce((sum, count) => sum + count * targets, 0)
  return { ...plannedProbes, randoms: rest - guided, perRound, finalists }
}

function planFinalists({ budget, finalists, targets }: BudgetSettings): number {
  const affordable = Math.min(finalists, Math.floor((budget * FINAL_SHARE) / targets.length))
  return affordable < 2 ? 0 : affordable
}

function planRandoms(
  { modules }: PrunableModel,
  rest: number,
  targets: number,
  { heterogeneous }: EarlierKnowledge,
): number {
  const wanted = Math.min(Math.floor(rest * RANDOM_SHARE), RANDOMS_A_MODULE * modules.length)
  const share = Math.ceil(wanted / targets)
  const before = heterogeneous.reduce((sum, count) => sum + Math.min(count, share), 0)
  return Math.max(0, wanted - before)
}

type ProbePlan = Pick<BudgetPlan, 'probeLayers' | 'probes' | 'probedBefore' | 'probeWindows'>

function planProbes(
  model: PrunableModel,
  free: number,
  settings: RungSettings,
  allowed: AllowedPolicies | null,
  known: EarlierKnowledge,
): ProbePlan {
  const indices = probedModules(model, allowed).map(({ index }) => index)
  const modules = indices.length
  const rungs = rungsOf(settings)
  const costAt = (windows: number) => costOf({ windows }, settings)
  const fitting = rungs.find((windows) => modules * costAt(windows) <= free * PROBE_RUNG_SHARE)
  const probeWindows = fitting ?? rungs.at(-1) ?? settings.validationWindows
  const probedBefore = new Set(indices.filter((index) => (known.probed.get(index) ?? 0) >= probeWindows))
  const affordable = Math.floor((free * PROBE_SHARE) / costAt(probeWindows))
  if (affordable < 4) return { probeLayers: 0, probes: 0, probedBefore, probeWindows }
  const probeLayers = Math.ceil((modules - probedBefore.size) / affordable)
  const policies = probePolicies(model, probeLayers, allowed, probedBefore)
  const probes = policies.filter((kept) => !known.isMeasured(kept, probeWindows)).length
  return { probeLayers, probes, probedBefore, probeWindows }
}

/** Evaluations a target and round, the larger rounds first; their sum over the targets is at most `evaluations`. */
function splitRounds(evaluations: number, targets: number): number[] {
  const perTarget = Math.floor(evaluations / targets)
  if (perTarget === 0) return []
  const most = Math.round(Math.sqrt(POLICIES_A_ROUND * perTarget))
  const rounds = Math.min(most, Math.ceil(perTarget / POLICIES_A_ROUND))
  const base = Math.floor(perTarget / rounds)
  const larger = perTarget - base * rounds
  return Array.from({ length: rounds }, (_, round) => base + (round < larger ? 1 : 0))
}
