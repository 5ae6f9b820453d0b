import type { SearchPlan, SearchProgress, SearchResult } from '@espalier/contracts'
import { comparedCompensations, densePolicy, finalWindows } from './final-steps.js'
import { planBudget } from './plan-budget.js'
import { roundErrors } from './round-errors.js'
import { hasLongerFinal } from './search-phases.js'
import type { SearchView } from './search-view.js'

/** What a person who watches wants to know: stage, round, evaluations, best so far, the predictor's honest error. */
export function progressOf(view: SearchView, state: SearchPlan['state']): SearchProgress {
  const { settings } = view
  const prepared = view.findResult('prepare', 0)
  const rules = view.findRules()
  const isLonger = prepared !== undefined && hasLongerFinal(view, prepared)
  const budget = planBudget(view.budgetSettings, view.model, isLonger, rules?.allowed, view.knowledge)
  const measured = (kept: readonly number[]) =>
    view.findMeasurement(kept, 'validation', settings.validationWindows)?.result.perplexity ?? null
  const errors = roundErrors(view)
  return {
    state,
    round: Math.min(view.ledger.lastRound, budget.perRound.length),
    rounds: budget.perRound.length,
    evaluationsDone: countEvaluations(view).total,
    evaluationsBudget: settings.budget,
    ...(view.earlier.length > 0 ? { earlierEvaluations: view.earlier.length } : {}),
    ...(view.ledger.lastTrained?.result?.related ? { relatedModel: true } : {}),
    fraction: state === 'SUCCEEDED' ? 1 : fractionDone(view),
    densePerplexity: measured(densePolicy(view)),
    targets: settings.targets.map((target, targetIndex) => ({
      sparsityTarget: rules?.targets[targetIndex]?.sparsity ?? null,
      ...(typeof target === 'number' ? {} : { target }),
      bestPerplexity: rules ? (view.rankedForTarget(targetIndex)[0]?.result.perplexity ?? null) : null,
      uniformPerplexity: rules ? measured(view.targetAt(targetIndex).uniform()) : null,
    })),
    predictorError: errors.at(-1) ?? null,
    method: view.chosen,
  }
}

/** Own real evaluations on the validation split, the final ones included, in full ones and by their windows. */
export function countEvaluations({ ledger, earlier }: SearchView): SearchResult['evaluations'] {
  const { full, byWindows: counts } = ledger.evaluations
  const byWindows = [...counts].sort(([a], [b]) => a - b).map(([windows, evaluations]) => ({ windows, evaluations }))
  return { total: Number(full.toFixed(6)), byWindows, ...(earlier.length > 0 ? { earlier: earlier.length } : {}) }
}

/** Seconds of all evaluations on the validation split, and how many of these went into fitting weights. */
export function evaluationTimes({ ledger }: SearchView): { readonly seconds: number; readonly fitSeconds: number } {
  const { seconds, fitSeconds } = ledger.evaluations
  return { seconds, fitSeconds }
}

/** Work is counted in windows evaluated, because evaluations are where the time goes. */
function fractionDone(view: SearchView): number {
  return Math.min(0.999, view.ledger.evaluations.windows / expectedWindows(view))
}

function expectedWindows(view: SearchView): number {
  const { settings } = view
  const targets = settings.targets.length
  const prepared = view.findResult('prepare', 0)
  const longer = prepared ? finalWindows(view, prepared) : settings.validationWindows
  const finalists =
    planBudget(view.budgetSettings, view.model, longer > settings.validationWindows, view.findRules()?.allowed)
      .finalists * targets
  const testWindows = Math.min(
    prepared?.splits.test.windows ?? longer,
    settings.finalWindows ?? Number.POSITIVE_INFINITY,
  )
  const searching = Math.max(0, settings.budget - finalists) * settings.validationWindows
  const exporting = targets * settings.exports.length * settings.validationWindows
  const comparing = targets * (comparedCompensations(view.compensation).length - 1) * settings.validationWindows
  return searching + finalists * longer + (1 + 2 * targets) * testWindows + comparing + exporting
}
