import { proposePolicies } from '@espalier/policy-agent'
import { trainPredictor } from '@espalier/predictor'
import { checkKeptUnits, type PrunableModel, sparsityOf, uniformPolicy } from '@espalier/pruning'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import { measureKnownPolicies } from '../known-policies.js'
import type { Laboratory, RandomShape } from '../laboratory.js'
import { runSearch } from '../run-search.js'
import { scaledEffort } from '../scaled-effort.js'
import { searchSettings } from '../search-settings.js'

export const architectures: ExperimentPart = {
  part: 4,
  title: '32 heads and more, and other architectures',
  run: runArchitectures,
}

const TARGET = 0.4
/** Tiny models need little: what is shown is that all works. */
const TINY_EFFORT = 0.1
const WINDOWS = 8
const RANDOMS = 8
const RUNS = 6

type Row = (string | number | null)[]

async function runArchitectures(context: PartContext): Promise<PartResult> {
  const { workshop, scale, progress } = context
  const names = workshop.tinyModels.slice(0, scale.architectures.tinyModels)
  const { shapes } = scale.architectures
  const all = names.length + shapes.length
  const tiny: Row[] = []
  for (const [index, name] of names.entries()) {
    progress(index / all, `searching ${name}`)
    tiny.push(await searchTiny(context, name))
  }
  const speed: Row[] = []
  for (const [index, shape] of shapes.entries()) {
    progress((names.length + index) / all, `${shape.heads} heads`)
    speed.push(await measureShape(context, shape))
  }
  const failed = tiny.filter((row) => row[5] !== 1)
  return {
    method:
      'Two questions. Does everything work: a whole search (calibration, probes, predictor, agent, evaluations, test) of ' +
      `every tiny model of the repository, random weights and random tokens, target ${100 * TARGET} %, ${scale.architectures.budget} evaluations; ` +
      'its perplexities mean nothing, its policies must be valid. And how does the time grow with the number of heads: ' +
      'Llamas with random weights of the same width, whose heads get smaller as they become more. Quality needs trained ' +
      `weights and is measured in the other parts, on ${workshop.subject.name} only.`,
    findings: [
      failed.length === 0
        ? `All ${tiny.length} models were searched to the end, and every policy measured was valid.`
        : `Invalid policies in: ${failed.map(([name]) => name).join(', ')}.`,
      ...speedFindings(speed),
    ],
    tables: [
      {
        title: 'Whole searches of tiny models',
        columns: [
          { title: 'model', format: 'text' },
          { title: 'architecture', format: 'text' },
          { title: 'heads / KV groups', format: 'text' },
          { title: 'modules', format: 'count' },
          { title: 'policies measured', format: 'count' },
          { title: 'valid', format: 'percent' },
          { title: 'removed', format: 'percent' },
          { title: 'search', format: 'seconds' },
        ],
        rows: tiny,
      },
      {
        title: 'Speed by heads, random weights',
        columns: [
          { title: 'heads', format: 'count' },
          { title: 'of size', format: 'count' },
          { title: 'layers', format: 'count' },
          { title: 'width', format: 'count' },
          { title: 'tokens/s, dense', format: 'count' },
          { title: 'tokens/s, half', format: 'count' },
          { title: 'training the predictor', format: 'seconds' },
          { title: 'proposing', format: 'seconds' },
        ],
        rows: speed,
      },
    ],
    plots: [
      {
        name: 'speed-by-heads',
        title: 'Tokens a second by number of heads',
        x: { label: 'heads', scale: 'log' },
        y: { label: 'tokens a second', scale: 'linear' },
        series: [
          { name: 'dense', style: 'line', points: pointsOf(speed, 4) },
          { name: 'half of all units', style: 'line', points: pointsOf(speed, 5) },
        ],
      },
    ],
  }
}

async function searchTiny({ workshop, scale, seeds }: PartContext, name: string): Promise<Row> {
  const laboratory = await workshop.openTinyModel(name)
  try {
    const started = laboratory.now()
    const calibration = await laboratory.calibrate(scale.calibrationWindows)
    const settings = searchSettings(laboratory, {
      ...{ targets: [TARGET], budget: scale.architectures.budget, seed: seeds[0] ?? 1, method: scale.method },
      ...{ calibrationWindows: scale.calibrationWindows, validationWindows: WINDOWS, testWindows: WINDOWS },
    })
    const { steps, result } = await runSearch({ laboratory, calibration, settings, effort: TINY_EFFORT * scale.effort })
    const policies = steps.flatMap((step) => (step.kind === 'evaluate' ? [step.payload.keptUnits] : []))
    const valid = policies.filter((kept) => isWhole(laboratory.model, kept)).length
    const { architecture, queryHeads, kvHeads } = laboratory.shape
    return [
      ...[name, architecture, `${queryHeads} / ${kvHeads}`, laboratory.model.modules.length, policies.length],
      ...[valid / policies.length, result.targets[0]?.sparsity ?? null, laboratory.now() - started],
    ]
  } finally {
    await laboratory.close()
  }
}

function isWhole(model: PrunableModel, kept: readonly number[]): boolean {
  try {
    checkKeptUnits(model, kept)
    return kept.every((units, index) => index % 2 === 0 || units >= 1) && sparsityOf(model, kept) < 1
  } catch {
    return false
  }
}

async function measureShape({ workshop, scale, seeds }: PartContext, shape: RandomShape): Promise<Row> {
  const laboratory = await workshop.createRandomModel(shape)
  try {
    const { model, now } = laboratory
    const seed = seeds[0] ?? 1
    const calibration = await laboratory.calibrate(2)
    const known = await measureKnownPolicies(laboratory, {
      ...{ calibration, method: scale.method, windows: 1, randoms: RANDOMS, sparsities: [TARGET], seed },
      onProgress: () => undefined,
    })
    let started = now()
    const rankings = calibration.rankings(scale.method.metric)
    const predictor = trainPredictor({ model, rankings, evaluations: known.evaluations, seed })
    const training = now() - started
    started = now()
    await proposePolicies({
      ...{ agent: 'network', model, predictor, targets: [TARGET], count: RANDOMS, incumbents: [[]], seed, round: 1 },
      effort: scaledEffort(model.modules.length, scale.effort),
    })
    const proposing = now() - started
    const dense = await tokensPerSecond(laboratory, scale, calibration, 0)
    const half = await tokensPerSecond(laboratory, scale, calibration, 0.5)
    const { heads, layers, hiddenSize } = shape
    return [heads, hiddenSize / heads, layers, hiddenSize, dense, half, training, proposing]
  } finally {
    await laboratory.close()
  }
}

/** The fastest run, after one to warm up. */
async function tokensPerSecond(
  laboratory: Laboratory,
  { method }: PartContext['scale'],
  calibration: Awaited<ReturnType<Laboratory['calibrate']>>,
  sparsity: number,
): Promise<number> {
  const policies = [uniformPolicy(laboratory.model, sparsity)]
  const times: number[] = []
  for (let run = 0; run < RUNS; run++) {
    const started = laboratory.now()
    await laboratory.measure({ policies, calibration, method, split: 'validation', windows: WINDOWS, alone: true })
    times.push(laboratory.now() - started)
  }
  return (WINDOWS * laboratory.windowLength) / Math.min(...times.slice(1))
}

function speedFindings(rows: readonly Row[]): string[] {
  const [first, last] = [rows[0], rows.at(-1)]
  if (!first || !last || first === last) return []
  const ratio = Number(last[4]) / Number(first[4])
  return [
    `With ${last[0]} heads instead of ${first[0]} at the same width the dense model runs at ${(100 * ratio).toFixed(0)} % of the speed; ` +
      `proposing takes ${Number(last[7]).toFixed(1)} s instead of ${Number(first[7]).toFixed(1)} s.`,
  ]
}

function pointsOf(rows: readonly Row[], column: number): [number, number][] {
  return rows.map((row) => [Number(row[0]), Number(row[column])])
}
