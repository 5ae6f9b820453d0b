import type { SearchPlan, SearchProgress, SearchResult } from '@espalier/contracts'
import { comparedCompensations, densePolicy, finalWindows } from './final-steps.js'
import type { Measurement } from './measurement.js'
import { planBudget } from './plan-budget.js'
import { roundErrors } from './round-errors.js'
import { costOf } from './rungs.js'
import { hasLongerFinal } from './search-phases.js'
import type { SearchView } from './search-view.js'

/** What a person who watches wants to know: stage, round, evaluations, best so far, the predictor's honest error. */
export function progressOf(view: SearchView, state: SearchPlan['state']): SearchProgress {
  const { settings } = view
  const prepared = view.findResult('prepare', 0)
  const rules = view.findRules()
  const isLonger = prepared !== undefined && hasLongerFinal(view, prepared)
  const budget = planBudget(settings, view.model, isLonger, rules?.allowed, view.knowledge)
  const measured = (kept: readonly number[]) =>
    view.findMeasurement(kept, 'validation', settings.validationWindows)?.result.perplexity ?? null
  const errors = roundErrors(view)
  return {
    state,
    round: Math.min(currentRound(view), budget.perRound.length),
    rounds: budget.perRound.length,
    evaluationsDone: countEvaluations(view).total,
    evaluationsBudget: settings.budget,
    ...(view.earlier.length > 0 ? { earlierEvaluations: view.earlier.length } : {}),
    ...(startsFromRelated(view) ? { relatedModel: true } : {}),
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
export function countEvaluations(view: SearchView): SearchResult['evaluations'] {
  const counts = new Map<number, number>()
  let total = 0
  for (const { payload } of onValidation(view)) {
    counts.set(payload.windows, (counts.get(payload.windows) ?? 0) + 1)
    total += costOf(payload, view.settings)
  }
  const byWindows = [...counts].sort(([a], [b]) => a - b).map(([windows, evaluations]) => ({ windows, evaluations }))
  const earlier = view.earlier.length > 0 ? { earlier: view.earlier.length } : {}
  return { total: Number(total.toFixed(6)), byWindows, ...earlier }
}

/** Seconds of all evaluations on the validation split, and how many of these went into fitting weights. */
export function evaluationTimes(view: SearchView): { readonly seconds: number; readonly fitSeconds: number } {
  const total = (secondsOf: (measurement: Measurement) => number) =>
    onValidation(view).reduce((sum, measurement) => sum + secondsOf(measurement), 0)
  return { seconds: total(({ result }) => result.seconds), fitSeconds: total(({ result }) => result.fitSeconds ?? 0) }
}

function onValidation(view: SearchView): Measurement[] {
  return view.allMeasurements.filter(({ payload }) => payload.split === 'validation')
}

function startsFromRelated(view: SearchView): boolean {
  const trained = [...view.steps].filter((step) => step.kind === 'train' && step.result !== null)
  const last = trained.sort((a, b) => b.round - a.round)[0]
  return last?.kind === 'train' && last.result?.related === true
}

function currentRound(view: SearchView): number {
  let round = 0
  for (const step of view.steps) round = Math.max(round, step.round)
  return round
}

/** Work is counted in windows evaluated, because evaluations are where the time goes. */
function fractionDone(view: SearchView): number {
  const done = view.allMeasurements.reduce((sum, { payload }) => sum + payload.windows, 0)
  return Math.min(0.999, done / expectedWindows(view))
}

function expectedWindows(view: SearchView): number {
  const { settings } = view
  const targets = settings.targets.length
  const prepared = view.findResult('prepare', 0)
  const longer = prepared ? finalWindows(view, prepared) : settings.validationWindows
  const finalists =
    planBudget(settings, view.model, longer > settings.validationWindows, view.findRules()?.allowed).finalists * targets
  const testWindows = Math.min(
    prepared?.splits.test.windows ?? longer,
    settings.finalWindows ?? Number.POSITIVE_INFINITY,
  )
  const searching = Math.max(0, settings.budget - finalists) * settings.validationWindows
  const exporting = targets * settings.exports.length * settings.validationWindows
  const comparing = targets * (comparedCompensations(view.compensation).length - 1) * settings.validationWindows
  return searching + finalists * longer + (1 + 2 * targets) * testWindows + comparing + exporting
}
