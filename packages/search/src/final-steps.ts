import {
  type CompensatedPerplexity,
  type Compensation,
  compensations,
  type EvaluatePayload,
  type EvaluationPurpose,
  type KeptUnits,
  type NewStep,
  type PrepareResult,
  type Split,
} from '@espalier/contracts'
import { sparsityOf } from '@espalier/pruning'
import { type Measurement, policyKey } from './measurement.js'
import type { SearchView } from './search-view.js'

/** Windows of the validation split that the final measurement uses: all, or as many as were asked for. */
export function finalWindows(view: SearchView, prepared: PrepareResult): number {
  return windowsOf(view, prepared, 'validation')
}

function windowsOf(view: SearchView, prepared: PrepareResult, split: Split): number {
  return Math.min(prepared.splits[split].windows, view.settings.finalWindows ?? Number.POSITIVE_INFINITY)
}

/** The best few of every target, measured on more windows: near the optimum no predictor ranks. */
export function finalEvaluations(
  view: SearchView,
  prepared: PrepareResult,
  finalists: number,
  round: number,
): NewStep<'evaluate'>[] {
  const windows = finalWindows(view, prepared)
  const policies = view.settings.targets.flatMap((_, targetIndex) =>
    view
      .rankedForTarget(targetIndex)
      .slice(0, finalists)
      .map(({ payload }) => ({ targetIndex, kept: payload.keptUnits })),
  )
  return evaluations(view, policies, 'final', 'validation', windows, round)
}

/** The policy found for a target: lowest in the final measurement, or in the search where there was none. */
export function winnerOf(view: SearchView, prepared: PrepareResult, targetIndex: number): Measurement | undefined {
  const ranked = view.rankedForTarget(targetIndex)
  const finals = ranked
    .map((measurement) => ({ measurement, final: finalOf(view, prepared, measurement.payload.keptUnits) }))
    .filter(({ final }) => final !== undefined)
    .sort((a, b) => (a.final?.result.logPerplexity ?? 0) - (b.final?.result.logPerplexity ?? 0))
  return finals[0]?.measurement ?? ranked[0]
}

export function finalOf(view: SearchView, prepared: PrepareResult, kept: KeptUnits): Measurement | undefined {
  return view.findMeasurement(kept, 'validation', finalWindows(view, prepared))
}

export function testOf(view: SearchView, prepared: PrepareResult, kept: KeptUnits): Measurement | undefined {
  return view.findMeasurement(kept, 'test', windowsOf(view, prepared, 'test'))
}

export function densePolicy(view: SearchView): KeptUnits {
  return view.model.modules.map((module) => module.units)
}

/** The dense model, the uniform policies and the winners on the test split, which no step before has seen. */
export function testEvaluations(view: SearchView, prepared: PrepareResult, round: number): NewStep<'evaluate'>[] {
  const policies: { targetIndex: number | null; kept: KeptUnits }[] = [{ targetIndex: null, kept: densePolicy(view) }]
  view.rules.targets.forEach((target, targetIndex) => {
    policies.push({ targetIndex, kept: target.uniform() })
    const winner = winnerOf(view, prepared, targetIndex)
    if (winner) policies.push({ targetIndex, kept: winner.payload.keptUnits })
  })
  const tests = evaluations(view, policies, 'test', 'test', windowsOf(view, prepared, 'test'), round)
  return [...tests, ...comparisonEvaluations(view, prepared, round, tests.length)]
}

/** Compensations that a search under `compensation` can measure: fitting weights needs what only its own search records. */
export function comparedCompensations(compensation: Compensation): Compensation[] {
  return compensations.slice(0, compensations.indexOf(compensation) + 1)
}

/** The winners under the compensations that the search did not use: what the one it used is worth. */
function comparisonEvaluations(
  view: SearchView,
  prepared: PrepareResult,
  round: number,
  firstIndex: number,
): NewStep<'evaluate'>[] {
  const { metric } = view.method
  const windows = comparisonWindows(view, prepared)
  const winners = new Map<string, { targetIndex: number; kept: KeptUnits }>()
  view.settings.targets.forEach((_, targetIndex) => {
    const kept = winnerOf(view, prepared, targetIndex)?.payload.keptUnits
    if (kept && !winners.has(policyKey(kept))) winners.set(policyKey(kept), { targetIndex, kept })
  })
  const others = comparedCompensations(view.compensation).slice(0, -1)
  const payloads = [...winners.values()].flatMap(({ targetIndex, kept }) =>
    others.map((compensation): EvaluatePayload => {
      const policy = { targetIndex, keptUnits: [...kept], sparsity: sparsityOf(view.model, kept) }
      const method = { metric, compensation }
      return { purpose: 'comparison', split: 'test', windows, predicted: null, ...policy, method }
    }),
  )
  return payloads.map((payload, index) => ({ kind: 'evaluate', round, index: firstIndex + index, payload }))
}

function comparisonWindows(view: SearchView, prepared: PrepareResult): number {
  return Math.min(view.settings.validationWindows, windowsOf(view, prepared, 'test'))
}

/** A policy on the same windows of the test split under each compensation measured. */
export function compensationsOf(view: SearchView, prepared: PrepareResult, kept: KeptUnits): CompensatedPerplexity[] {
  if (view.chosen === null) return []
  const { metric } = view.chosen
  const windows = comparisonWindows(view, prepared)
  return comparedCompensations(view.compensation).flatMap((compensation) => {
    const isOwn = compensation === view.compensation
    const measured = isOwn
      ? testOf(view, prepared, kept)
      : view.findMeasurement(kept, 'test', windows, { metric, compensation })
    if (!measured) return []
    return [{ compensation, testPerplexity: perplexityOfFirst(measured.result.nll, windows, view) }]
  })
}

/** exp of the mean negative log-likelihood over the first windows of a measurement. */
function perplexityOfFirst(nll: readonly number[], windows: number, { settings }: SearchView): number {
  const total = nll.slice(0, windows).reduce((sum, value) => sum + value, 0)
  return Math.exp(total / (Math.min(windows, nll.length) * (settings.windowLength - 1)))
}

export function exportSteps(view: SearchView, prepared: PrepareResult, round: number): NewStep<'export'>[] {
  const { settings } = view
  const dense = testOf(view, prepared, densePolicy(view))?.result.perplexity ?? null
  const steps = view.rules.targets.flatMap((target, targetIndex) => {
    const winner = winnerOf(view, prepared, targetIndex)
    if (!winner) return []
    const { payload, result } = winner
    return settings.exports.map((format) => ({
      targetIndex,
      format,
      keptUnits: payload.keptUnits,
      sparsity: payload.sparsity,
      logPerplexity: result.logPerplexity,
      windows: payload.windows,
      method: view.method,
      report: {
        denseTestPerplexity: dense,
        uniformTestPerplexity: testOf(view, prepared, target.uniform())?.result.perplexity ?? null,
        testPerplexity: testOf(view, prepared, payload.keptUnits)?.result.perplexity ?? null,
        validationPerplexity: result.perplexity,
      },
    }))
  })
  return steps.map((payload, index) => ({ kind: 'export', round, index, payload }))
}

function evaluations(
  view: SearchView,
  policies: readonly { targetIndex: number | null; kept: KeptUnits }[],
  purpose: EvaluationPurpose,
  split: Split,
  windows: number,
  round: number,
): NewStep<'evaluate'>[] {
  const distinct = new Map<string, EvaluatePayload>()
  for (const { targetIndex, kept } of policies) {
    const key = policyKey(kept)
    if (distinct.has(key)) continue
    const sparsity = sparsityOf(view.model, kept)
    const policy = { targetIndex, keptUnits: [...kept], sparsity }
    distinct.set(key, { purpose, split, windows, predicted: null, ...policy, method: view.method })
  }
  return [...distinct.values()].map((payload, index) => ({ kind: 'evaluate', round, index, payload }))
}
