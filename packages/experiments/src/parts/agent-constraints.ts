import type { KeptUnits, ReportTable } from '@espalier/contracts'
import { proposePolicies } from '@espalier/policy-agent'
import { type Predictor, trainPredictor } from '@espalier/predictor'
import { sparsityOf } from '@espalier/pruning'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import { measureKnownPolicies } from '../known-policies.js'
import { createFreedoms, drawRandoms, drawUnprojected, type Freedom, shareValid } from '../policy-freedom.js'
import { scaledEffort } from '../scaled-effort.js'

export const agentConstraints: ExperimentPart = {
  part: 2,
  title: 'The agent under simplified and full mask constraints',
  run: runAgentConstraints,
}

async function runAgentConstraints(context: PartContext): Promise<PartResult> {
  const { workshop, scale, seeds, progress } = context
  const { subject } = workshop
  const { method } = scale
  const calibration = await subject.calibrate(scale.calibrationWindows)
  const known = await measureKnownPolicies(subject, {
    ...{ calibration, method, windows: scale.validationWindows },
    ...{ randoms: scale.constraints.randoms, sparsities: scale.targets, seed: seeds[0] ?? 1 },
    onProgress: (share) => progress(0.25 * share, 'measuring what the predictor learns from'),
  })
  const rankings = calibration.rankings(method.metric)
  const predictor = trainPredictor({
    ...{ model: subject.model, rankings, evaluations: known.evaluations, seed: seeds[0] ?? 1 },
  })
  const measureTest = async (policies: readonly KeptUnits[]) => {
    const request = { policies, calibration, method, windows: scale.testWindows }
    return (await subject.measure({ ...request, split: 'test' })).map(({ logPerplexity }) => Math.exp(logPerplexity))
  }
  const best = async (policies: readonly KeptUnits[]) => {
    const request = { policies, calibration, method, windows: scale.validationWindows }
    const measured = await subject.measure({ ...request, split: 'validation' })
    const ranked = [...policies.keys()].sort((a, b) => logAt(measured, a) - logAt(measured, b))
    return policies[ranked[0] ?? 0] ?? []
  }
  const freedoms = createFreedoms(subject, scale.targets, scale.constraints.channelMultiple)
  const validity: (string | number)[][] = []
  const quality: (string | number | null)[][] = []
  for (const [index, freedom] of freedoms.entries()) {
    const share = (part: number) => 0.25 + (0.75 * (index + part)) / freedoms.length
    progress(share(0), `the agent, ${freedom.name}`)
    const { proposed, seconds } = await proposeFor(context, freedom, predictor)
    const drawn = drawRandoms(freedom, scale.constraints.proposals, seeds[0] ?? 1)
    validity.push([
      freedom.name,
      freedom.counts,
      proposed.flat().length,
      shareValid(freedom, proposed),
      shareValid(freedom, drawn),
      shareValid(freedom, drawUnprojected(freedom, scale.constraints.proposals, seeds[0] ?? 1)),
      seconds,
    ])
    for (const [target, sparsity] of scale.targets.entries()) {
      progress(share((target + 1) / (scale.targets.length + 1)), `measuring, ${freedom.name}`)
      const few = scale.constraints.measuredPerTarget
      const ofAgent = await best((proposed[target] ?? []).slice(0, few).map(freedom.expand))
      const ofRandom = await best((drawn[target] ?? []).slice(0, few).map(freedom.expand))
      const uniform = freedom.rules.targets[target]?.uniform()
      const own = uniform === undefined ? [] : freedom.expand(uniform)
      const [agent, random, even] = await measureTest([ofAgent, ofRandom, own])
      const removed = sparsityOf(subject.model, ofAgent)
      quality.push([freedom.name, sparsity, removed, agent ?? null, random ?? null, even ?? null])
    }
  }
  return {
    method:
      `One predictor, trained on ${known.evaluations.length} measured policies (dense, a probe a module, ${scale.constraints.randoms} random ones). ` +
      'Under each set of constraints the agent proposes policies against it; the best ' +
      `${scale.constraints.measuredPerTarget} predicted are measured on ${scale.validationWindows} validation windows, and the best of these on ${scale.testWindows} test windows. ` +
      'Random: as many random policies of the same set, measured and chosen the same way. Uniform: the same share ' +
      'everywhere. *Simplified* sets have one count for all blocks of a kind, or for neighbouring layers; *full* ones ' +
      `a count for every block; *constrained*: the first layer stays whole, no block goes as a whole, channels are kept in multiples of ${scale.constraints.channelMultiple}. ` +
      'A policy is valid when its counts are whole numbers within bounds, every feed-forward ' +
      'block keeps a channel, its sparsity is reached to less than one unit of the set, and every constraint holds.',
    findings: findings(quality, validity),
    tables: [
      {
        title: 'Share of valid policies',
        columns: [
          { title: 'constraints', format: 'text' },
          { title: 'counts', format: 'count' },
          { title: 'proposed', format: 'count' },
          { title: 'agent, valid', format: 'percent' },
          { title: 'random, projected', format: 'percent' },
          { title: 'random, as drawn', format: 'percent' },
          { title: 'agent', format: 'seconds' },
        ],
        rows: validity,
      },
      qualityTable(quality),
    ],
    plots: [
      {
        name: 'agent-constraints',
        title: 'Test perplexity of what the agent finds, by its freedom',
        x: { label: 'sparsity', scale: 'linear' },
        y: { label: 'perplexity', scale: 'log' },
        series: [
          ...freedoms.map(({ name }) => ({ name, style: 'line' as const, points: pointsOf(quality, name, 3) })),
          { name: 'uniform', style: 'dashed' as const, points: pointsOf(quality, freedoms[0]?.name ?? '', 5) },
        ],
      },
    ],
  }
}

const logAt = (measured: readonly { readonly logPerplexity: number }[], index: number) =>
  measured[index]?.logPerplexity ?? Number.POSITIVE_INFINITY

async function proposeFor({ workshop, scale, seeds }: PartContext, freedom: Freedom, predictor: Predictor) {
  const { model, rules, expand } = freedom
  const { now } = workshop.subject
  const started = now()
  const seen = {
    createScorer() {
      const score = predictor.createScorer()
      return (kept: readonly number[]) => score(expand(kept))
    },
    predict: (kept: readonly number[]) => predictor.predict(expand(kept)),
  }
  const { targets } = await proposePolicies({
    ...{ agent: 'network', model, predictor: seen, rules, round: 1, seed: seeds[0] ?? 1 },
    ...{ targets: scale.targets, count: scale.constraints.proposals, incumbents: scale.targets.map(() => []) },
    effort: scaledEffort(model.modules.length, scale.effort),
  })
  const proposed = targets.map(({ policies }) => policies.map(({ keptUnits }) => keptUnits))
  return { proposed, seconds: now() - started }
}

function qualityTable(rows: (string | number | null)[][]): ReportTable {
  return {
    title: 'Test perplexity',
    columns: [
      { title: 'constraints', format: 'text' },
      { title: 'target', format: 'percent' },
      { title: 'removed', format: 'percent' },
      { title: 'agent', format: 'perplexity' },
      { title: 'random', format: 'perplexity' },
      { title: 'uniform', format: 'perplexity' },
    ],
    rows,
  }
}

function pointsOf(rows: readonly (string | number | null)[][], name: string, column: number): [number, number][] {
  return rows
    .filter((row) => row[0] === name && typeof row[column] === 'number')
    .map((row) => [Number(row[1]), Number(row[column])])
}

function findings(
  quality: readonly (readonly (string | number | null)[])[],
  validity: readonly (readonly (string | number)[])[],
): string[] {
  const number = (value: string | number | null | undefined) => (typeof value === 'number' ? value : Number.NaN)
  const peer = (row: (typeof quality)[number]) => Math.min(number(row[4]), number(row[5]))
  const lost = quality.filter((row) => peer(row) < number(row[3]))
  const won = quality.filter((row) => number(row[3]) < peer(row))
  const invalid = validity.filter((row) => number(row[3]) < 1)
  const validLine =
    invalid.length === 0
      ? 'Every policy that the agent proposed is valid, under all constraints.'
      : `The agent proposed invalid policies under: ${invalid.map(([name]) => name).join('; ')}.`
  const where = lost.map((row) => `${row[0]} at ${(100 * number(row[1])).toFixed(0)} %`)
  const wonLine =
    lost.length === 0
      ? `Neither random nor uniform beats the agent in any of ${quality.length} rows; it beats both in ${won.length}, and finds the same in the others.`
      : `In ${lost.length} of ${quality.length} rows random or uniform beats the agent: ${where.join('; ')}. It beats both in ${won.length}.`
  return [validLine, wonLine]
}
