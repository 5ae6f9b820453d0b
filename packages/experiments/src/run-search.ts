import {
  EspalierError,
  type EvaluatePayload,
  methodOf,
  type NewStep,
  type SearchResult,
  type SearchSettings,
  type StepRecord,
  type StepResult,
} from '@espalier/contracts'
import { proposePolicies } from '@espalier/policy-agent'
import { type Predictor, trainPredictor } from '@espalier/predictor'
import { planNextSteps, trainingEvaluations } from '@espalier/search'
import type { LabCalibration, Laboratory } from './laboratory.js'
import { scaledEffort } from './scaled-effort.js'

export interface SearchTask {
  readonly laboratory: Laboratory
  readonly calibration: LabCalibration
  readonly settings: SearchSettings
  /** Share of the agent's usual work. */
  readonly effort: number
  /** Window of the validation text that the search begins with; left out: 0. */
  readonly firstWindow?: number
  readonly onProgress?: (share: number) => void
}

/** Seconds by what they were spent on. */
interface SearchSeconds {
  readonly dense: number
  readonly probes: number
  readonly otherEvaluations: number
  readonly train: number
  readonly propose: number
  readonly score: number
}

export interface SearchRun {
  readonly result: SearchResult
  readonly steps: readonly StepRecord[]
  /** Of the search itself: without the measurements on the test text at its end. */
  readonly seconds: SearchSeconds
}

/** Purposes that only say how good what was found is. */
const reportingPurposes: readonly string[] = ['test', 'final', 'comparison']

/** One search, from the empty record to the end, in this process: the same state machine, agent and predictor as in the service. */
export async function runSearch(task: SearchTask): Promise<SearchRun> {
  const { laboratory, settings } = task
  const steps: StepRecord[] = []
  const seconds = { dense: 0, probes: 0, otherEvaluations: 0, train: 0, propose: 0, score: 0 }
  let predictor: Predictor | undefined
  for (;;) {
    const plan = planNextSteps({ settings, shape: laboratory.shape, steps })
    task.onProgress?.(plan.progress.fraction)
    if (plan.state === 'FAILED')
      throw new EspalierError('EVALUATION_FAILED', plan.error?.message ?? 'the search failed')
    if (plan.state === 'SUCCEEDED' && plan.result) return { result: plan.result, steps, seconds }
    const evaluations = plan.steps.filter((step) => step.kind === 'evaluate')
    if (evaluations.length > 0) {
      steps.push(...(await evaluateSteps(task, evaluations, seconds)))
      continue
    }
    for (const step of plan.steps) {
      const started = laboratory.now()
      const done = await perform(task, steps, step, predictor)
      if (done.predictor) predictor = done.predictor
      if (step.kind === 'train' || step.kind === 'propose' || step.kind === 'score') {
        seconds[step.kind] += laboratory.now() - started
      }
      steps.push(done.step)
    }
  }
}

interface Performed {
  readonly step: StepRecord
  readonly predictor?: Predictor
}

async function perform(
  task: SearchTask,
  steps: readonly StepRecord[],
  step: NewStep,
  predictor: Predictor | undefined,
): Promise<Performed> {
  const { laboratory, settings, calibration } = task
  const { model } = laboratory
  const { seed } = settings
  const done = { state: 'DONE', error: null } as const
  switch (step.kind) {
    case 'prepare':
      return { step: { ...step, ...done, result: prepared(laboratory) } }
    case 'train': {
      const method = methodOf({ payload: step.payload, settings })
      const rankings = calibration.rankings(method.metric)
      const evaluations = trainingEvaluations(steps, settings, method)
      const trained = trainPredictor({ model, rankings, evaluations, seed })
      return { step: { ...step, ...done, result: { ...trained.summary, seconds: 0 } }, predictor: trained }
    }
    case 'propose': {
      const { count, incumbents } = step.payload
      const targets = settings.targets.flatMap((target) => (typeof target === 'number' ? [target] : []))
      const request = { agent: settings.agent, model, predictor: predictor ?? null, targets, count, incumbents, seed }
      const effort = scaledEffort(model.modules.length, task.effort)
      const { targets: proposed, backend } = await proposePolicies({ ...request, round: step.round, effort })
      return { step: { ...step, ...done, result: { targets: proposed, backend, seconds: 0 } } }
    }
    case 'score': {
      if (!predictor) throw new EspalierError('INTERNAL', `Round ${step.round} has candidates and no predictor`)
      return { step: { ...step, ...done, result: scoresOf(steps, step.round, predictor) } }
    }
    default:
      throw new EspalierError('INTERNAL', `An experiment has no way to do a step of kind ${step.kind}`)
  }
}

function scoresOf(steps: readonly StepRecord[], round: number, predictor: Predictor): StepResult<'score'> {
  const proposed = steps.find((step) => step.kind === 'propose' && step.round === round)
  const targets = proposed?.kind === 'propose' && proposed.result ? proposed.result.targets : []
  const scored = targets.map(({ policies }) => ({
    scores: policies.map(({ keptUnits }) => predictor.predict(keptUnits)),
  }))
  return { targets: scored, policies: scored.reduce((sum, { scores }) => sum + scores.length, 0), seconds: 0 }
}

function prepared({ windows, windowLength }: Laboratory): StepResult<'prepare'> {
  const split = (count: number) => ({ artifact: '', textHash: '', tokens: count * windowLength, windows: count })
  const { calibration, validation, test } = windows
  return {
    ...{ modelHash: '', calibration: '', seconds: 0 },
    splits: { calibration: split(calibration), validation: split(validation), test: split(test) },
  }
}

/** Measures those under one method on the same windows together. */
async function evaluateSteps(
  { laboratory, calibration, settings, firstWindow = 0 }: SearchTask,
  steps: readonly NewStep<'evaluate'>[],
  seconds: { dense: number; probes: number; otherEvaluations: number },
): Promise<StepRecord[]> {
  const results = new Map<NewStep<'evaluate'>, StepResult<'evaluate'>>()
  const nameOf = ({ payload }: NewStep<'evaluate'>) => {
    const { metric, compensation } = methodOf({ payload, settings })
    const { split, windows, purpose } = payload
    return [metric, compensation, split, windows, phaseOf(purpose)].join('/')
  }
  for (const name of new Set(steps.map(nameOf))) {
    const group = steps.filter((step) => nameOf(step) === name)
    const [first] = group
    if (!first) continue
    const { split, windows, purpose } = first.payload
    const method = methodOf({ payload: first.payload, settings })
    const started = laboratory.now()
    const policies = group.map(({ payload }) => payload.keptUnits)
    const from = split === 'validation' ? firstWindow : 0
    const measured = await laboratory.measure({ policies, calibration, method, split, windows, firstWindow: from })
    const phase = phaseOf(purpose)
    if (phase !== 'reporting') seconds[phase] += laboratory.now() - started
    for (const [index, step] of group.entries()) {
      const { nll, logPerplexity } = measured[index] ?? { nll: [], logPerplexity: Number.NaN }
      const tokens = nll.length * (settings.windowLength - 1)
      results.set(step, { nll: [...nll], tokens, logPerplexity, perplexity: Math.exp(logPerplexity), seconds: 0 })
    }
  }
  return steps.map((step) => ({ ...step, state: 'DONE', result: results.get(step) ?? null, error: null }))
}

function phaseOf(purpose: EvaluatePayload['purpose']): 'dense' | 'probes' | 'otherEvaluations' | 'reporting' {
  if (purpose === 'dense') return 'dense'
  if (purpose === 'probe') return 'probes'
  return reportingPurposes.includes(purpose) ? 'reporting' : 'otherEvaluations'
}
