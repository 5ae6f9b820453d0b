import type { ReportPlot, ReportTable } from '@espalier/contracts'
import { createEvaluationSet, intervalCoverage, meanAbsoluteError, spearman } from '@espalier/predictor'
import { SPARSITY_BINS } from '../compare-predictors.js'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import { measureKnownPolicies } from '../known-policies.js'
import {
  type Group,
  groupTrials,
  type Known,
  meanError,
  meanWithinBins,
  measuredOf,
  predictedOf,
  predictorsIn,
  runTrial,
  shuffleKnown,
  type Trial,
  withinBins,
} from '../predictor-trials.js'
import { mean, normalReach } from '../statistics.js'

/** Sparsities of the policies that are measured where none are known. */
const MEASURED_SPARSITIES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
/** Orders of the evaluations that the numbers are means of, at most: the CNN trains for seconds. */
const MOST_ORDERS = 2
const LEVELS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
/** A plot of more points only takes room. */
const MOST_POINTS = 150

export const predictorAccuracy: ExperimentPart = {
  part: 1,
  title: 'Predictor accuracy on known configurations',
  run: runPredictorAccuracy,
}

async function runPredictorAccuracy(context: PartContext): Promise<PartResult> {
  const { scale, seeds, workshop } = context
  const known = await knownPoliciesOf(context)
  const dense = known.evaluations.find(({ purpose }) => purpose === 'dense')?.logPerplexity ?? 0
  const sizes = scale.accuracy.trainSizes.filter((size) => size <= known.evaluations.length - 10)
  const orders = seeds.slice(0, MOST_ORDERS).map((seed) => ({ seed, evaluations: shuffleKnown(known, seed) }))
  const planned = sizes.flatMap((size) =>
    scale.accuracy.predictors.flatMap((predictor) => orders.map((order) => ({ size, predictor, order }))),
  )
  const trials: Trial[] = []
  for (const [index, { size, predictor, order }] of planned.entries()) {
    context.progress(0.3 + (0.7 * index) / planned.length, `${predictor} on ${size} evaluations`)
    await context.breathe()
    trials.push(await runTrial(workshop.subject.now, known, predictor, size, order))
  }
  const largest = Math.max(...sizes)
  const rows = groupTrials(trials)
  return {
    method:
      `${known.evaluations.length} policies of ${context.workshop.subject.name}, ${known.origin}: the dense model, probes of single ` +
      `modules and random policies. Each predictor learns from the first N of them (dense and probes first) and ` +
      `predicts all others; means over ${orders.length} orders of the random policies. Normalised perplexity is perplexity ` +
      'divided by that of the dense model; the paper does not say how it normalises. *Within bins*: Spearman ' +
      `correlation among policies of nearly the same sparsity, mean over the bins ${SPARSITY_BINS.join(', ')}: what a search needs. ` +
      '`curve-alone` is our curve model without its residual process; `curve` adds it where cross-validation says it pays.',
    findings: findings(rows, sizes, dense),
    tables: [accuracyTable(rows, dense), binTable(trials, largest)],
    plots: [sizePlot(rows), calibrationPlot(trials, largest), scatterPlot(trials, largest)],
  }
}

async function knownPoliciesOf({ workshop, scale, seeds, progress }: PartContext): Promise<Known> {
  const { subject } = workshop
  if (subject.known) return { ...createEvaluationSet(subject.known), origin: 'measured before and kept in a file' }
  const calibration = await subject.calibrate(scale.calibrationWindows)
  const { evaluations } = await measureKnownPolicies(subject, {
    ...{ calibration, method: scale.method, windows: scale.validationWindows },
    ...{ randoms: scale.accuracy.policies, sparsities: MEASURED_SPARSITIES, seed: seeds[0] ?? 1 },
    onProgress: (share) => progress(0.3 * share, 'measuring policies'),
  })
  const rankings = calibration.rankings(scale.method.metric)
  return { model: subject.model, rankings, evaluations, origin: 'measured for this report' }
}

function accuracyTable(groups: readonly Group[], dense: number): ReportTable {
  return {
    title: 'On policies that the predictor has not seen',
    columns: [
      { title: 'trained on', format: 'count' },
      { title: 'predictor', format: 'text' },
      { title: 'error, log-perplexity', format: 'decimal' },
      { title: 'error, normalised perplexity', format: 'decimal' },
      { title: 'rank, overall', format: 'decimal' },
      { title: 'rank, within bins', format: 'decimal' },
      { title: 'in 90 % interval', format: 'percent' },
      { title: 'training', format: 'seconds' },
    ],
    rows: groups.map((group) => [
      group[0]?.size ?? null,
      group[0]?.predictor ?? null,
      meanError(group),
      meanNormalisedError(group, dense),
      mean(group.map((t) => spearman(measuredOf(t), predictedOf(t)))),
      finite(meanWithinBins(group)),
      mean(group.map((t) => intervalCoverage(measuredOf(t), t.predictions))),
      mean(group.map(({ seconds }) => seconds)),
    ]),
  }
}

function binTable(trials: readonly Trial[], size: number): ReportTable {
  const bins = SPARSITY_BINS.slice(1).map((end, index) => [SPARSITY_BINS[index] ?? 0, end] as const)
  const groups = groupTrials(trials.filter((trial) => trial.size === size))
  const inside = bins.filter((bin) => groups.some((group) => group.some((t) => !Number.isNaN(withinBins(t, bin)))))
  const percent = (share: number) => Math.round(100 * share)
  return {
    title: `Rank correlation in each bin of sparsity, trained on ${size}`,
    columns: [
      { title: 'predictor', format: 'text' },
      ...inside.map(([from, to]) => ({ title: `${percent(from)} to ${percent(to)} %`, format: 'decimal' as const })),
    ],
    rows: groups.map((group) => [
      group[0]?.predictor ?? null,
      ...inside.map((bin) => finite(mean(group.map((trial) => withinBins(trial, bin))))),
    ]),
  }
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null
}

function sizePlot(groups: readonly Group[]): ReportPlot {
  return {
    name: 'predictor-error-by-size',
    title: 'Error of log-perplexity by evaluations to learn from',
    x: { label: 'evaluations', scale: 'log' },
    y: { label: 'mean absolute error', scale: 'log' },
    series: predictorsIn(groups).map((name) => ({
      name,
      style: 'line',
      points: groups
        .filter(([trial]) => trial?.predictor === name)
        .map((group) => [group[0]?.size ?? 0, meanError(group)] as [number, number]),
    })),
  }
}

/** Of intervals of several levels, how many of the measured values they hold. */
function calibrationPlot(trials: readonly Trial[], size: number): ReportPlot {
  const groups = groupTrials(trials.filter((trial) => trial.size === size))
  const reach90 = normalReach(0.9)
  const coverage = (group: Group, level: number) => {
    const stretch = normalReach(level) / reach90
    const hits = group.flatMap(({ heldOut, predictions }) =>
      predictions.map(({ logPerplexity, low, high }, index) => {
        const distance = (heldOut[index]?.logPerplexity ?? 0) - logPerplexity
        return distance <= stretch * (high - logPerplexity) && -distance <= stretch * (logPerplexity - low) ? 1 : 0
      }),
    )
    return mean(hits)
  }
  return {
    name: 'predictor-calibration',
    title: `Calibration, trained on ${size}`,
    x: { label: 'share that the interval should hold', scale: 'linear' },
    y: { label: 'share that it holds', scale: 'linear' },
    series: [
      { name: 'as promised', style: 'dashed', points: [0, 1].map((share) => [share, share] as [number, number]) },
      ...groups.map((group) => ({
        name: group[0]?.predictor ?? '',
        style: 'line' as const,
        points: LEVELS.map((level) => [level, coverage(group, level)] as [number, number]),
      })),
    ],
  }
}

function scatterPlot(trials: readonly Trial[], size: number): ReportPlot {
  const first = predictorsIn(groupTrials(trials)).flatMap(
    (name) => trials.find((trial) => trial.predictor === name && trial.size === size) ?? [],
  )
  const shown = first.filter(({ predictor }) => predictor !== 'curve-alone')
  const all = shown.flatMap(measuredOf).map(Math.exp)
  const [least, most] = [Math.min(...all), Math.max(...all)]
  const ends = [least, most].map((value) => [value, value] as [number, number])
  /** A prediction far outside would flatten all others. */
  const clip = (value: number) => Math.min(2 * most, Math.max(least / 2, value))
  return {
    name: 'predictor-scatter',
    title: `Predicted and measured perplexity, trained on ${size}`,
    x: { label: 'measured', scale: 'log' },
    y: { label: 'predicted (at most twice the largest measured)', scale: 'log' },
    series: [
      { name: 'equal', style: 'dashed', points: ends },
      ...shown.map((trial) => ({
        name: trial.predictor,
        style: 'points' as const,
        points: trial.heldOut
          .slice(0, MOST_POINTS)
          .map(
            (one, i) => [Math.exp(one.logPerplexity), clip(Math.exp(predictedOf(trial)[i] ?? 0))] as [number, number],
          ),
      })),
    ],
  }
}

function findings(groups: readonly Group[], sizes: readonly number[], dense: number): string[] {
  return sizes.flatMap((size) => {
    const trained = groups.filter(([trial]) => trial?.size === size)
    const best = (by: (group: Group) => number) => [...trained].sort((a, b) => by(a) - by(b))[0]
    const normalised = (group: Group) => meanNormalisedError(group, dense)
    const [error, ratio, rank] = [best(meanError), best(normalised), best((group) => -meanWithinBins(group))]
    if (!error || !ratio || !rank) return []
    return (
      `Trained on ${size}: least error of log-perplexity \`${error[0]?.predictor}\` (${meanError(error).toFixed(3)}), ` +
      `of normalised perplexity \`${ratio[0]?.predictor}\` (${normalised(ratio).toFixed(3)}), ` +
      `best order within bins \`${rank[0]?.predictor}\` (${meanWithinBins(rank).toFixed(3)}).`
    )
  })
}

/** Of perplexity divided by that of the dense model. */
function meanNormalisedError(group: Group, dense: number): number {
  const normalised = (values: readonly number[]) => values.map((value) => Math.exp(value - dense))
  return mean(group.map((t) => meanAbsoluteError(normalised(measuredOf(t)), normalised(predictedOf(t)))))
}
