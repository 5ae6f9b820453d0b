import type { KeptUnits, ReportTable, StepRecord } from '@espalier/contracts'
import { createRandomGenerator, type KeptIndices, randomPolicy, selectKeptIndices } from '@espalier/pruning'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import type { LabCalibration } from '../laboratory.js'
import { maskAgreement, meanAgreement } from '../mask-agreement.js'
import { runSearch, type SearchRun } from '../run-search.js'
import { searchSettings } from '../search-settings.js'
import { mean, relativeSpread } from '../statistics.js'

export const stability: ExperimentPart = {
  part: 7,
  title: 'Stability of masks and quality',
  run: runStability,
}

/** One search with one thing changed. */
interface Variant {
  readonly changed: 'seed' | 'calibration windows' | 'work of the agent'
  readonly value: number
  readonly seed: number
  readonly calibrationWindows: number
  readonly effort: number
}

interface Outcome extends Variant {
  readonly run: SearchRun
  readonly kept: KeptUnits
  readonly masks: KeptIndices
  readonly testPerplexity: number
}

async function runStability(context: PartContext): Promise<PartResult> {
  const { workshop, scale, seeds, progress } = context
  const { model } = workshop.subject
  const variants = variantsOf(context)
  const outcomes: Outcome[] = []
  for (const [index, variant] of variants.entries()) {
    const onProgress = (share: number) =>
      progress((index + share) / variants.length, `${variant.changed} ${variant.value}`)
    outcomes.push(await runVariant(context, variant, onProgress))
  }
  const [base] = outcomes
  const ofSeeds = outcomes.filter(({ changed }) => changed === 'seed')
  const rankings = (await workshop.subject.calibrate(scale.calibrationWindows)).rankings(scale.method.metric)
  const random = createRandomGenerator(seeds[0] ?? 1, 'stability')
  const strangers = Array.from({ length: 8 }, () =>
    selectKeptIndices(rankings, randomPolicy(model, scale.stability.target, random)),
  )
  const [alike, chance] = [
    meanAgreement(
      model,
      ofSeeds.map(({ masks }) => masks),
    ),
    meanAgreement(model, strangers),
  ]
  const rounds = roundsOf(ofSeeds, rankings, model)
  const perplexities = ofSeeds.map(({ testPerplexity }) => testPerplexity)
  return {
    method:
      `Searches at ${100 * scale.stability.target} % with ${scale.stability.budget} evaluations, each with one thing changed: the seed, the windows of calibration, or the ` +
      "agent's work (policy network and evolution). *Equal*: share of the units, weighted by their parameters, that two masks both keep or both " +
      'remove; *kept by both*: of the parameters that either keeps, those that both keep. Seeds: mean over all pairs; ' +
      'everything else against the first seed. Two random policies of the same sparsity give what chance gives: masks of one ranking are ' +
      `nested, so they agree anyway. Quality on ${scale.testWindows} windows of the test text.`,
    findings: [
      `Between seeds ${percent(alike.equal)} of the units are equal, between random policies ${percent(chance.equal)}; test perplexity spreads by ${percent(relativeSpread(perplexities))} of its mean.`,
      ...outcomes.filter((one) => one.changed !== 'seed').map((one) => compareToBase(one, base)),
    ],
    tables: [
      {
        title: 'Masks and quality, one thing changed',
        columns: [
          { title: 'changed', format: 'text' },
          { title: 'to', format: 'decimal' },
          { title: 'equal', format: 'percent' },
          { title: 'kept by both', format: 'percent' },
          { title: 'test perplexity', format: 'perplexity' },
        ],
        rows: [
          ...outcomes.map((one) => {
            const agreement = base ? maskAgreement(model, base.masks, one.masks) : { equal: null, keptByBoth: null }
            return [one.changed, one.value, agreement.equal, agreement.keptByBoth, one.testPerplexity]
          }),
          ['seeds, all pairs', null, alike.equal, alike.keptByBoth, mean(perplexities)],
          ['random policies', null, chance.equal, chance.keptByBoth, null],
        ],
      },
      rounds.table,
    ],
    plots: [
      {
        name: 'stability-rounds',
        title: 'Best mask after a round against the final one',
        x: { label: 'round', scale: 'linear' },
        y: { label: 'share of units equal', scale: 'linear' },
        series: rounds.series,
      },
    ],
  }
}

function variantsOf({ scale, seeds }: PartContext): Variant[] {
  const seed = seeds[0] ?? 1
  const usual = { seed, calibrationWindows: scale.calibrationWindows, effort: scale.effort }
  return [
    ...seeds.map((value): Variant => ({ ...usual, changed: 'seed', value, seed: value })),
    ...scale.stability.calibrations.map(
      (value): Variant => ({ ...usual, changed: 'calibration windows', value, calibrationWindows: value }),
    ),
    ...scale.stability.efforts.map(
      (value): Variant => ({ ...usual, changed: 'work of the agent', value, effort: value }),
    ),
  ]
}

async function runVariant(
  { workshop, scale }: PartContext,
  variant: Variant,
  onProgress: (share: number) => void,
): Promise<Outcome> {
  const { subject } = workshop
  const calibration: LabCalibration = await subject.calibrate(variant.calibrationWindows)
  const settings = searchSettings(subject, {
    ...{ targets: [scale.stability.target], budget: scale.stability.budget, seed: variant.seed, method: scale.method },
    calibrationWindows: variant.calibrationWindows,
    ...{ validationWindows: scale.validationWindows, testWindows: scale.testWindows },
  })
  const run = await runSearch({ laboratory: subject, calibration, settings, effort: variant.effort, onProgress })
  const [target] = run.result.targets
  const kept = target?.keptUnits ?? []
  const masks = selectKeptIndices(calibration.rankings(scale.method.metric), kept)
  return { ...variant, run, kept, masks, testPerplexity: target?.testPerplexity ?? Number.NaN }
}

/** The best policy measured up to each round, against the one found in the end. */
function roundsOf(
  outcomes: readonly Outcome[],
  rankings: Parameters<typeof selectKeptIndices>[0],
  model: PartContext['workshop']['subject']['model'],
): { table: ReportTable; series: PartResult['plots'][number]['series'] } {
  const histories = outcomes.map(({ run, kept, seed }) => {
    const final = selectKeptIndices(rankings, kept)
    const best = bestByRound(run.steps)
    return best.map(({ round, keptUnits, perplexity }) => {
      const { equal } = maskAgreement(model, selectKeptIndices(rankings, keptUnits), final)
      return { seed, round, equal, perplexity }
    })
  })
  return {
    table: {
      title: 'After each round, by seed',
      columns: [
        { title: 'seed', format: 'count' },
        { title: 'round', format: 'count' },
        { title: 'equal to the final mask', format: 'percent' },
        { title: 'best on the validation windows', format: 'perplexity' },
      ],
      rows: histories.flat().map(({ seed, round, equal, perplexity }) => [seed, round, equal, perplexity]),
    },
    series: histories.map((history) => ({
      name: `seed ${history[0]?.seed}`,
      style: 'line' as const,
      points: history.map(({ round, equal }) => [round, equal] as [number, number]),
    })),
  }
}

/** Round 0 is what was measured before the first round: uniform and random policies. */
function bestByRound(steps: readonly StepRecord[]) {
  const measured = steps.flatMap((step) => {
    if (step.kind !== 'evaluate' || step.result === null) return []
    const { purpose, targetIndex, keptUnits } = step.payload
    const competes = targetIndex !== null && ['uniform', 'random', 'proposal'].includes(purpose)
    return competes ? [{ round: step.round, keptUnits, perplexity: step.result.perplexity }] : []
  })
  const rounds = [...new Set(measured.map(({ round }) => round))].sort((a, b) => a - b)
  return rounds.flatMap((round) => {
    const [best] = measured.filter((one) => one.round <= round).sort((a, b) => a.perplexity - b.perplexity)
    return best ? [{ ...best, round }] : []
  })
}

function compareToBase(one: Outcome, base: Outcome | undefined): string {
  const change = one.testPerplexity / (base?.testPerplexity ?? Number.NaN) - 1
  const word = change > 0 ? 'worse' : 'better'
  return `With ${one.value} for ${one.changed}: ${percent(Math.abs(change))} ${word} than the first seed.`
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`
}
