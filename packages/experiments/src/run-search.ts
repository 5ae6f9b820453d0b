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
import type { Predictor } from '@espalier/predictor'
import { planNextSteps } from '@espalier/search'
import type { LabCalibration, Laboratory } from './laboratory.js'
import { performStep } from './perform-step.js'
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
  const { model, windows } = laboratory
  const effort = scaledEffort(model.modules.length, task.effort)
  const search = { model, windows, settings, rankings: task.calibration.rankings, effort }
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
      const done = await performStep(search, steps, step, predictor)
      if (done.predictor) predictor = done.predictor
      if (step.kind === 'train' || step.kind === 'propose' || step.kind === 'score') {
        seconds[step.kind] += laboratory.now() - started
      }
      steps.push(done.step)
    }
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
