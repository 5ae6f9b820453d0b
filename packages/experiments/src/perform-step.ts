import {
  type EarlierEvaluation,
  EspalierError,
  type ImportanceMetric,
  methodOf,
  type NewStep,
  type SearchSettings,
  type Split,
  type StepRecord,
  type StepResult,
} from '@espalier/contracts'
import { proposePolicies, type SearchEffort } from '@espalier/policy-agent'
import { type Predictor, trainPredictor } from '@espalier/predictor'
import { type PolicyRules, type PrunableModel, plainPolicyRules, type UnitRanking } from '@espalier/pruning'
import { trainingEvaluations } from '@espalier/search'

/** What a search in one process knows, whatever measures its policies. */
export interface SearchContext {
  readonly model: PrunableModel
  readonly settings: SearchSettings
  /** Whole windows of each text. */
  readonly windows: Readonly<Record<Split, number>>
  readonly rankings: (metric: ImportanceMetric) => readonly UnitRanking[]
  /** Targets and constraints; left out: the targets that are sparsities, and nothing else. */
  readonly rules?: PolicyRules
  /** The agent's work; left out: the usual. */
  readonly effort?: SearchEffort
  /** What the search starts from. */
  readonly earlier?: readonly EarlierEvaluation[]
}

export interface PerformedStep {
  readonly step: StepRecord
  /** The predictor that was trained. */
  readonly predictor?: Predictor
}

/** Does a step that measures nothing, as the workers of a service do it: prepare, train, propose or score. */
export async function performStep(
  search: SearchContext,
  steps: readonly StepRecord[],
  step: NewStep,
  predictor: Predictor | undefined,
): Promise<PerformedStep> {
  const { model, settings, earlier, effort } = search
  const { seed, agent } = settings
  const done = { state: 'DONE', error: null } as const
  switch (step.kind) {
    case 'prepare':
      return { step: { ...step, ...done, result: prepared(search) } }
    case 'train': {
      const method = methodOf({ payload: step.payload, settings })
      const rankings = search.rankings(method.metric)
      const evaluations = trainingEvaluations(steps, settings, method, earlier)
      const trained = trainPredictor({ model, rankings, evaluations, seed })
      return { step: { ...step, ...done, result: { ...trained.summary, seconds: 0 } }, predictor: trained }
    }
    case 'propose': {
      const { count, draws, incumbents, explores, drifted } = step.payload
      const rules = search.rules ?? plainPolicyRules(model, sparsitiesOf(settings))
      const targets = rules.targets.map(({ sparsity }) => sparsity)
      const wanted = { rules, targets, count, draws, incumbents, explores, drifted }
      const { targets: proposed, backend } = await proposePolicies({
        agent,
        model,
        predictor: predictor ?? null,
        ...wanted,
        seed,
        round: step.round,
        ...(effort ? { effort } : {}),
      })
      return { step: { ...step, ...done, result: { targets: proposed, backend, seconds: 0 } } }
    }
    case 'score': {
      if (!predictor) throw new EspalierError('INTERNAL', `Round ${step.round} has candidates and no predictor`)
      return { step: { ...step, ...done, result: scoresOf(steps, step.round, predictor) } }
    }
    default:
      throw new EspalierError('INTERNAL', `A search in one process has no way to do a step of kind ${step.kind}`)
  }
}

function sparsitiesOf({ targets }: SearchSettings): number[] {
  return targets.flatMap((target) => (typeof target === 'number' ? [target] : []))
}

function scoresOf(steps: readonly StepRecord[], round: number, predictor: Predictor): StepResult<'score'> {
  const proposed = steps.find((step) => step.kind === 'propose' && step.round === round)
  const targets = proposed?.kind === 'propose' && proposed.result ? proposed.result.targets : []
  const scored = targets.map(({ policies }) => ({
    scores: policies.map(({ keptUnits }) => predictor.predict(keptUnits)),
  }))
  return { targets: scored, policies: scored.reduce((sum, { scores }) => sum + scores.length, 0), seconds: 0 }
}

function prepared({ windows, settings }: SearchContext): StepResult<'prepare'> {
  const split = (count: number) => ({
    ...{ artifact: '', textHash: '', windows: count },
    tokens: count * settings.windowLength,
  })
  const { calibration, validation, test } = windows
  return {
    ...{ modelHash: '', calibration: '', seconds: 0 },
    splits: { calibration: split(calibration), validation: split(validation), test: split(test) },
  }
}
