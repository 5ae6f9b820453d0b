import type { RoundError } from '@espalier/contracts'
import { detectDrift } from './detect-drift.js'
import type { SearchView } from './search-view.js'

/** Error of the predictor on the policies of each round, which it had not seen when it predicted them. */
export function roundErrors(view: SearchView): RoundError[] {
  const rounds = new Map<number, { errors: number[]; inside: number }>()
  for (const step of view.steps) {
    if (step.kind !== 'evaluate' || !step.result || !step.payload.predicted) continue
    const { logPerplexity, low, high } = step.payload.predicted
    const measured = step.result.logPerplexity
    const round = rounds.get(step.round) ?? { errors: [], inside: 0 }
    round.errors.push(Math.abs(measured - logPerplexity))
    if (measured >= low && measured <= high) round.inside++
    rounds.set(step.round, round)
  }
  return [...rounds]
    .sort(([a], [b]) => a - b)
    .map(([round, { errors, inside }]) => ({
      round,
      evaluations: errors.length,
      meanAbsoluteError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
      intervalCoverage: inside / errors.length,
      drift: detectDrift(errors.length - inside, errors.length),
    }))
}
