import type {
  EarlierEvaluation,
  NewStep,
  RecordedError,
  SearchOutline,
  SearchPlan,
  SearchRecord,
  StepRecord,
} from '@espalier/contracts'
import { findFailure } from './find-failure.js'
import { searchPhases } from './search-phases.js'
import { progressOf } from './search-progress.js'
import { resultOf } from './search-result.js'
import { createLedger, SearchView, viewRecord } from './search-view.js'

/** Plans a search from its steps, of which it keeps in memory only what planning needs. */
export interface SearchPlanner {
  /** Every step once, by round and index. */
  add(step: StepRecord): void
  /** @param earlier what the search starts from; left out: nothing */
  plan(earlier?: readonly EarlierEvaluation[]): SearchPlan
}

export function createSearchPlanner(search: SearchOutline): SearchPlanner {
  const ledger = createLedger(search)
  return {
    add: (step) => ledger.add(step),
    plan: (earlier) => planFrom(new SearchView(search, ledger, earlier)),
  }
}

/**
 * The search as a state machine: from everything recorded to what is to be done next. Pure: the same record
 * gives the same plan, so a plan that was lost is simply made again.
 */
export function planNextSteps(record: SearchRecord): SearchPlan {
  return planFrom(viewRecord(record))
}

function planFrom(view: SearchView): SearchPlan {
  const failure = findFailure(view)
  if (failure) return planOf(view, 'FAILED', [], failure)

  for (const phase of searchPhases(view)) {
    const existing = view.ledger.countOf(phase.kind, phase.round, phase.part)
    if (existing.total > 0) {
      if (existing.ended === existing.total) continue
      // Until a worker takes its first step a search stands in the queue.
      const isUnclaimed = phase.state === 'PREPARING' && existing.pending === existing.total
      return planOf(view, isUnclaimed ? 'QUEUED' : phase.state, [])
    }
    const steps = phase.create()
    if (steps.length > 0) return planOf(view, phase.state === 'PREPARING' ? 'QUEUED' : phase.state, steps)
  }
  return planOf(view, 'SUCCEEDED', [])
}

function planOf(
  view: SearchView,
  state: SearchPlan['state'],
  steps: readonly NewStep[],
  error: RecordedError | null = null,
): SearchPlan {
  return { state, steps, progress: progressOf(view, state), result: resultOf(view), error }
}
