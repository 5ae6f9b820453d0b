import type { RoundError } from '@espalier/contracts'
import { detectDrift } from './detect-drift.js'
import type { SearchView } from './search-view.js'

/** Error of the predictor on the policies of each round, which it had not seen when it predicted them. */
export function roundErrors({ ledger }: SearchView): RoundError[] {
  return [...ledger.rounds]
    .sort(([a], [b]) => a - b)
    .map(([round, { evaluations, error, inside }]) => ({
      round,
      evaluations,
      meanAbsoluteError: error / evaluations,
      intervalCoverage: inside / evaluations,
      drift: detectDrift(evaluations - inside, evaluations),
    }))
}
