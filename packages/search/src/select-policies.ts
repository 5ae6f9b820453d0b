import type { KeptUnits, NewStep } from '@espalier/contracts'
import type { PrunableModel } from '@espalier/pruning'
import { EvaluationList } from './initial-evaluations.js'
import type { SearchView } from './search-view.js'

type Score = { readonly logPerplexity: number; readonly low: number; readonly high: number }
interface Candidate {
  readonly kept: KeptUnits
  readonly score: Score | null
  /** The best by a draw from the predictor's posterior. */
  readonly drawn: boolean
}

/** Least distance of two policies of a round, as a share of the prunable parameters. */
const LEAST_DISTANCE = 0.01
/** Half the width of a 90 % interval of a normal distribution, in standard deviations. */
const INTERVAL_DEVIATIONS = 1.645

/** Evaluations of a round: for every target the most promising new candidates, spread out. */
export function selectPolicies(view: SearchView, round: number, count: number): NewStep<'evaluate'>[] {
  const list = new EvaluationList(view, view.method)
  view.settings.targets.forEach((_, targetIndex) => {
    for (const { kept, score } of selectForTarget(view, candidatesOf(view, round, targetIndex), count)) {
      list.add('proposal', targetIndex, kept, score)
    }
  })
  return list.steps(round)
}

/**
 * Largest expected improvement over the targets, in log-perplexity: E[max(0, best - y)] for y normal with
 * the predicted mean and deviation (Jones, Schonlau, Welch 1998, eq. 15).
 */
export function expectedImprovement(view: SearchView, round: number): number {
  let largest = 0
  view.settings.targets.forEach((_, targetIndex) => {
    const best = view.rankedForTarget(targetIndex)[0]?.result.logPerplexity ?? Number.POSITIVE_INFINITY
    for (const { kept, score } of candidatesOf(view, round, targetIndex)) {
      if (score === null || isMeasured(view, kept)) continue
      largest = Math.max(largest, improvementOf(best, score.logPerplexity, deviationOf(score)))
    }
  })
  return largest
}

function candidatesOf(view: SearchView, round: number, targetIndex: number): Candidate[] {
  const policies = view.findResult('propose', round)?.targets[targetIndex]?.policies ?? []
  const scores = view.findResult('score', round)?.targets[targetIndex]?.scores
  return policies.map(({ keptUnits, drawn }, index) => ({
    kept: keptUnits,
    score: scores?.[index] ?? null,
    drawn: drawn ?? false,
  }))
}

/**
 * The first choice trusts the predicted mean, the others are those of draws. Where there are none, they lean more and
 * more on the lower bound, so that a round both exploits and explores. Choices closer than LEAST_DISTANCE to an earlier
 * one wait until no other is left.
 */
function selectForTarget(view: SearchView, candidates: readonly Candidate[], count: number): Candidate[] {
  const open = candidates.filter(({ kept }) => !isMeasured(view, kept))
  const chosen: Candidate[] = []
  while (chosen.length < count && open.length > 0) {
    const optimism = count > 1 ? chosen.length / (count - 1) : 0
    const apart = open.filter(({ kept }) => chosen.every((c) => distance(view.model, c.kept, kept) >= LEAST_DISTANCE))
    const choices = apart.length > 0 ? apart : open
    const drawn = chosen.length > 0 ? choices.find((candidate) => candidate.drawn) : undefined
    const next = drawn ?? lowest(choices, (c) => acquisition(c.score, optimism))
    chosen.push(next)
    open.splice(open.indexOf(next), 1)
  }
  return chosen
}

function isMeasured(view: SearchView, kept: KeptUnits): boolean {
  return view.isMeasured(kept, 'validation', view.settings.validationWindows)
}

/** Without scores (random agent) every candidate is as good as another: the order proposed stands. */
function acquisition(score: Score | null, optimism: number): number {
  return score === null ? 0 : score.logPerplexity - optimism * deviationOf(score)
}

function deviationOf(score: Score): number {
  return (score.high - score.low) / (2 * INTERVAL_DEVIATIONS)
}

function lowest<T>(items: readonly T[], value: (item: T) => number): T {
  return items.reduce((best, item) => (value(item) < value(best) ? item : best))
}

/** Share of the prunable parameters that exactly one of two policies keeps. */
function distance(model: PrunableModel, a: KeptUnits, b: KeptUnits): number {
  let parameters = 0
  for (const { index, parametersPerUnit } of model.modules) {
    parameters += Math.abs((a[index] ?? 0) - (b[index] ?? 0)) * parametersPerUnit
  }
  return parameters / model.prunableParameters
}

function improvementOf(best: number, mean: number, deviation: number): number {
  if (!Number.isFinite(best)) return Number.POSITIVE_INFINITY
  if (deviation <= 0) return Math.max(0, best - mean)
  const z = (best - mean) / deviation
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  return (best - mean) * normalDistribution(z) + deviation * density
}

/** Cumulative normal distribution by the error function of Abramowitz and Stegun 7.1.26 (error below 1.5e-7). */
function normalDistribution(z: number): number {
  const x = Math.abs(z) / Math.SQRT2
  const t = 1 / (1 + 0.3275911 * x)
  const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t
  const upper = 0.5 * (1 + (1 - series * Math.exp(-x * x)))
  return z >= 0 ? upper : 1 - upper
}
