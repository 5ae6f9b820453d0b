import type { NewStep, PrepareResult, SearchPlan, StepKind } from '@espalier/contracts'
import { exportSteps, finalEvaluations, finalWindows, testEvaluations } from './final-steps.js'
import { initialEvaluations, trialEvaluations } from './initial-evaluations.js'
import { type BudgetPlan, planBudget } from './plan-budget.js'
import { roundErrors } from './round-errors.js'
import type { SearchView } from './search-view.js'
import { expectedImprovement, selectPolicies } from './select-policies.js'
import type { EvaluationPart } from './step-ledger.js'

/** Steps that are created together, and that must all have ended before the search goes on. */
export interface Phase {
  readonly state: SearchPlan['state']
  readonly kind: StepKind
  readonly round: number
  /** Which evaluations of the round; default: all steps of the kind and round. */
  readonly part?: EvaluationPart
  /** Called once, when no step of this kind and round (and part) exists yet. */
  readonly create: () => readonly NewStep[]
}

/** Candidates the agent gives for each policy that will be evaluated: the predictor chooses among them. */
const CANDIDATES_A_POLICY = 16
/** The same where a choice is the best by the mean and nothing else: the others stand by for one that was measured. */
const CANDIDATES_BESIDE_DRAWS = 4
/** Most measured policies a target that the agent is told of: evolution starts from them, exploring keeps away from them. */
const INCUMBENTS = 64
/** Every so many rounds explore. */
const EXPLORING_ROUND = 2
/** A search of fewer rounds has none to spare for it. */
const FEWEST_ROUNDS_TO_EXPLORE = 6

/**
 * A search as the list of its phases. A consumer takes the next phase only when the earlier ones have ended;
 * so each phase is a pure function of the results before it, and a search can be planned anew from its rows
 * at any instant.
 */
export function* searchPhases(view: SearchView): Generator<Phase, void> {
  yield { state: 'PREPARING', kind: 'prepare', round: 0, create: () => [step('prepare', 0, preparePayload(view))] }
  const prepared = view.findResult('prepare', 0)
  if (!prepared) return

  const budget = planBudget(
    view.budgetSettings,
    view.model,
    hasLongerFinal(view, prepared),
    view.rules.allowed,
    view.knowledge,
  )
  yield* initialPhases(view, budget)

  const rounds = budget.perRound.length
  let converged = false
  for (const [index, count] of budget.perRound.entries()) {
    converged = (yield* searchRound(view, { round: index + 1, of: rounds, count })) === 'converged'
    if (converged) break
  }
  // A search that converged has trained on all it measured.
  if (rounds > 0 && !converged && canGenerate(view)) yield* trainGenerator(view, rounds + 1)
  yield* endPhases(view, prepared, budget.finalists, rounds + 1)
}

/** First the metric is chosen, if that is left to the search; everything after is measured under it. */
function* initialPhases(view: SearchView, budget: BudgetPlan): Generator<Phase> {
  const trials = view.trialMetrics.length
  const phase = { state: 'SEARCHING', kind: 'evaluate', round: 0 } as const
  if (trials > 0) yield { ...phase, part: 'trials', create: () => trialEvaluations(view) }
  yield { ...phase, part: 'others', create: () => initialEvaluations(view, budget, trials) }
}

/** Gram matrices are recorded where weights will be fitted, or units eliminated. */
function preparePayload({ settings, compensation, trialMetrics }: SearchView): NewStep<'prepare'>['payload'] {
  const eliminates = settings.metric === 'obs' || trialMetrics.includes('obs')
  return { gram: eliminates || compensation === 'least-squares', ...(eliminates ? { elimination: true } : {}) }
}

interface SearchRound {
  readonly round: number
  /** Rounds of the search. */
  readonly of: number
  /** Policies a target. */
  readonly count: number
}

function* searchRound(view: SearchView, planned: SearchRound): Generator<Phase, 'converged' | 'searched'> {
  const { round, count } = planned
  const state = 'SEARCHING'
  const guided = view.settings.agent === 'network'
  if (guided) yield { state, kind: 'train', round, create: () => [step('train', round, { method: view.method })] }
  const payload = () => proposePayload(view, { ...wantedIn(planned, guided), ...explorationIn(view, planned) })
  yield { state, kind: 'propose', round, create: () => [step('propose', round, payload())] }
  if (guided) {
    yield { state, kind: 'score', round, create: () => [step('score', round, {})] }
    const evaluated = view.ledger.countOf('evaluate', round).total > 0
    if (!evaluated && expectedImprovement(view, round) < view.settings.minimumImprovement) return 'converged'
  }
  yield { state, kind: 'evaluate', round, create: () => selectPolicies(view, round, count) }
  return 'searched'
}

/**
 * One choice a target goes by the predicted mean, the others by draws. From the last round no other can learn: there are
 * no draws in it.
 */
function wantedIn({ round, of, count }: SearchRound, guided: boolean) {
  const draws = guided && round < of ? count - 1 : 0
  return draws > 0 ? { count: CANDIDATES_BESIDE_DRAWS, draws } : { count: count * CANDIDATES_A_POLICY }
}

/**
 * Candidates keep away from what was measured in every second round: the predictor cannot rank neighbours of its optimum,
 * but it may have missed another. Where its intervals missed too often, it knows less than it says, and draws roam.
 */
function explorationIn(view: SearchView, { round, of }: SearchRound): Pick<ProposePayload, 'explores' | 'drifted'> {
  if (round === of) return {}
  const explores = of >= FEWEST_ROUNDS_TO_EXPLORE && round % EXPLORING_ROUND === 0
  const drifted = roundErrors(view).some((error) => error.round === round - 1 && error.drift)
  return { ...(explores ? { explores } : {}), ...(drifted ? { drifted } : {}) }
}

/** Generators give policies of a sparsity without constraints; a search of something else trains none. */
function canGenerate({ settings, rules }: SearchView): boolean {
  return settings.agent === 'network' && rules.targets.every(({ allowed }) => allowed === null)
}

/** Predictor, policy network and generator of everything that the rounds have measured. */
function* trainGenerator(view: SearchView, round: number): Generator<Phase, void> {
  const state = 'FINALISING'
  yield { state, kind: 'train', round, create: () => [step('train', round, { method: view.method })] }
  yield { state, kind: 'propose', round, create: () => [step('propose', round, proposePayload(view, { count: 0 }))] }
}

/** `final` is the round after the last planned one, even when the search converged before that. */
function* endPhases(view: SearchView, prepared: PrepareResult, finalists: number, final: number): Generator<Phase> {
  const state = 'FINALISING'
  if (finalists > 0) {
    yield { state, kind: 'evaluate', round: final, create: () => finalEvaluations(view, prepared, finalists, final) }
  }
  const test = final + 1
  yield { state, kind: 'evaluate', round: test, create: () => testEvaluations(view, prepared, test) }
  const last = test + 1
  yield { state: 'EXPORTING', kind: 'export', round: last, create: () => exportSteps(view, prepared, last) }
}

/** Finalists are measured again only where that sees tokens which the search has not. */
export function hasLongerFinal(view: SearchView, prepared: PrepareResult): boolean {
  return finalWindows(view, prepared) > view.settings.validationWindows
}

type ProposePayload = NewStep<'propose'>['payload']

function proposePayload(
  view: SearchView,
  wanted: Pick<ProposePayload, 'count' | 'draws' | 'explores' | 'drifted'>,
): ProposePayload {
  const incumbents = view.settings.targets.map((_, targetIndex) =>
    view
      .rankedForTarget(targetIndex)
      .slice(0, INCUMBENTS)
      .map(({ payload }) => payload.keptUnits),
  )
  const latencies = view.findResult('prepare', 0)?.latencies
  return {
    ...{ ...wanted, incumbents, method: view.method },
    ...(latencies ? { latencies } : {}),
  }
}

function step<K extends 'prepare' | 'train' | 'propose' | 'score'>(
  kind: K,
  round: number,
  payload: NewStep<K>['payload'],
): NewStep {
  return { kind, round, index: 0, payload } as NewStep
}
