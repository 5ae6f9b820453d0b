import type { RecordedError, StepRecord } from '@espalier/contracts'
import type { SearchView } from './search-view.js'

/** A few failed evaluations are bad luck; more than this share of those that ended is a pattern. */
const SYSTEMATIC_SHARE = 0.2
const BAD_LUCK = 2

/**
 * The first cause for which a search fails: any step but an evaluation, or evaluations that fail as a rule.
 * What has been measured stays recorded.
 */
export function findFailure(view: SearchView): RecordedError | undefined {
  const steps = [...view.steps]
  const failed = steps.filter((step) => step.state === 'FAILED').sort((a, b) => a.round - b.round || a.index - b.index)
  const decisive = failed.find((step) => step.kind !== 'evaluate')
  if (decisive) return causeOf(decisive)

  const ended = steps.filter((step) => step.kind === 'evaluate' && (step.state === 'DONE' || step.state === 'FAILED'))
  const first = failed[0]
  const systematic = failed.length > BAD_LUCK && failed.length > ended.length * SYSTEMATIC_SHARE
  const hopeless = ended.length > 0 && failed.length === ended.length && noneOpen(steps)
  return first && (systematic || hopeless) ? causeOf(first, failed.length, ended.length) : undefined
}

function noneOpen(steps: readonly StepRecord[]): boolean {
  return steps.every((step) => step.state !== 'PENDING' && step.state !== 'RUNNING')
}

function causeOf(step: StepRecord, failed = 1, ended = 1): RecordedError {
  const cause = step.error ?? { code: 'INTERNAL' as const, message: 'the step failed without a cause', details: {} }
  const where = `${step.kind} step ${step.index} of round ${step.round}`
  const share = step.kind === 'evaluate' ? ` (${failed} of ${ended} evaluations failed)` : ''
  return { ...cause, message: `${where}: ${cause.message}${share}`, details: { ...cause.details, step: where } }
}
