import type { RecordedError, StepRecord } from '@espalier/contracts'
import type { SearchView } from './search-view.js'

/** A few failed evaluations are bad luck; more than this share of those that ended is a pattern. */
const SYSTEMATIC_SHARE = 0.2
const BAD_LUCK = 2

/**
 * The first cause for which a search fails: any step but an evaluation, or evaluations that fail as a rule.
 * What has been measured stays recorded.
 */
export function findFailure({ ledger }: SearchView): RecordedError | undefined {
  const { firstDecisive, firstFailed, failedSteps, endedEvaluations, openSteps } = ledger
  if (firstDecisive) return causeOf(firstDecisive)
  const systematic = failedSteps > BAD_LUCK && failedSteps > endedEvaluations * SYSTEMATIC_SHARE
  const hopeless = endedEvaluations > 0 && failedSteps === endedEvaluations && openSteps === 0
  return firstFailed && (systematic || hopeless) ? causeOf(firstFailed, failedSteps, endedEvaluations) : undefined
}

function causeOf(step: StepRecord, failed = 1, ended = 1): RecordedError {
  const cause = step.error ?? { code: 'INTERNAL' as const, message: 'the step failed without a cause', details: {} }
  const where = `${step.kind} step ${step.index} of round ${step.round}`
  const share = step.kind === 'evaluate' ? ` (${failed} of ${ended} evaluations failed)` : ''
  return { ...cause, message: `${where}: ${cause.message}${share}`, details: { ...cause.details, step: where } }
}
