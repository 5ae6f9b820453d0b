import type { NewStep, RecordedError, SearchPlan, SearchRecord, StepRecord } from '@espalier/contracts'
import { findFailure } from './find-failure.js'
import { searchPhases } from './search-phases.js'
import { progressOf } from './search-progress.js'
import { resultOf } from './search-result.js'
import { SearchView } from './search-view.js'

/**
 * The search as a state machine: from everything recorded to what is to be done next. Pure: the same record
 * gives the same plan, so a plan that was lost is simply made again.
 */
export function planNextSteps(record: SearchRecord): SearchPlan {
  const view = new SearchView(record)
  const failure = findFailure(view)
  if (failure) return planOf(view, 'FAILED', [], failure)

  for (const phase of searchPhases(view)) {
    const [first, end] = phase.indices ?? [0, Number.POSITIVE_INFINITY]
    const existing = view.stepsOf(phase.kind, phase.round).filter(({ index }) => index >= first && index < end)
    if (existing.length > 0) {
      if (existing.every(hasEnded)) continue
      return planOf(view, isUnclaimed(phase.state, existing) ? 'QUEUED' : phase.state, [])
    }
    const steps = phase.create()
    if (steps.length > 0) return planOf(view, phase.state === 'PREPARING' ? 'QUEUED' : phase.state, steps)
  }
  return planOf(view, 'SUCCEEDED', [])
}

function hasEnded(step: StepRecord): boolean {
  return step.state === 'DONE' || step.state === 'FAILED' || step.state === 'CANCELLED'
}

/** Until a worker takes its first step a search stands in the queue. */
function isUnclaimed(state: SearchPlan['state'], steps: readonly StepRecord[]): boolean {
  return state === 'PREPARING' && steps.every((step) => step.state === 'PENDING')
}

function planOf(
  view: SearchView,
  state: SearchPlan['state'],
  steps: readonly NewStep[],
  error: RecordedError | null = null,
): SearchPlan {
  return { state, steps, progress: progressOf(view, state), result: resultOf(view), error }
}
