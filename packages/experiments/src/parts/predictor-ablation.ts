import type { KeptUnits } from '@espalier/contracts'
import { uniformPolicy } from '@espalier/pruning'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import type { LabCalibration } from '../laboratory.js'
import { runSearch } from '../run-search.js'
import { bestWithin, type EvaluatingSearch, type JudgedPolicy, searchByEvaluations } from '../search-by-evaluations.js'
import { searchSettings } from '../search-settings.js'
import { mean } from '../statistics.js'

export const predictorAblation: ExperimentPart = {
  part: 5,
  title: 'Ablation: the predictor against searches that only measure',
  run: runPredictorAblation,
}

const ways: readonly EvaluatingSearch[] = ['evolution', 'random']
/** Parts of the test text that are texts of their own. */
const TEST_PARTS = 3

/** What one way found in one search, before it is compared. */
interface Found {
  readonly text: number
  readonly way: string
  readonly kept: KeptUnits
  readonly evaluations: number
  /** Of the search; null: there was none. */
  readonly seconds: number | null
}

interface Compared extends Found {
  /** Of each part of the test text, then of all of it. */
  readonly perplexities: readonly number[]
}

async function runPredictorAblation(context: PartContext): Promise<PartResult> {
  const { workshop, scale, progress } = context
  const { subject } = workshop
  const { target, budget, texts } = scale.ablation
  const calibration = await subject.calibrate(scale.calibrationWindows)
  const compared: Compared[] = []
  for (let text = 0; text < texts; text++) {
    const onProgress = (share: number, doing: string) => progress((text + share) / texts, `text ${text + 1}, ${doing}`)
    const found = await searchText(context, calibration, text, onProgress)
    compared.push(...(await compare(context, calibration, found)))
  }
  const names = [...new Set(compared.flatMap(({ way, seconds }) => (seconds === null ? [] : [way])))]
  return {
    method:
      `One target, ${100 * target} %. *Predictor*: a search of ours with ${budget} evaluations. *Evolution* and *random* measure every policy ` +
      'that they judge, on the same windows; once with as many evaluations, once with the time that our search took, ' +
      'training and proposals included. ' +
      `Searched on ${texts} ${texts === 1 ? 'text' : 'texts of their own'} (${scale.validationWindows} windows each of the validation text), each with its own seed; what was found is ` +
      `measured on ${TEST_PARTS} parts of the test text (${scale.testWindows} windows in all), which no search has seen.`,
    findings: findings(compared),
    tables: [
      {
        title: 'Perplexity of what was found, on texts that were not searched on',
        columns: [
          { title: 'searched on', format: 'text' },
          { title: 'way', format: 'text' },
          { title: 'evaluations', format: 'count' },
          { title: 'time', format: 'seconds' },
          ...Array.from({ length: TEST_PARTS }, (_, index) => ({
            ...{ title: `test ${index + 1}`, format: 'perplexity' as const },
          })),
          { title: 'test, all', format: 'perplexity' },
        ],
        rows: compared.map(({ text, way, evaluations, seconds, perplexities }) => [
          ...[`text ${text + 1}`, way, evaluations, seconds, ...perplexities],
        ]),
      },
    ],
    plots: [
      {
        name: 'predictor-ablation',
        title: `Test perplexity at ${100 * target} %, each text that was searched on`,
        x: { label: 'seconds of the search', scale: 'log' },
        y: { label: 'perplexity on the whole test text', scale: 'linear' },
        series: names.map((name) => ({
          name,
          style: 'points',
          points: compared
            .filter(({ way }) => way === name)
            .flatMap(({ seconds, perplexities }): [number, number][] =>
              seconds === null ? [] : [[seconds, perplexities.at(-1) ?? 0]],
            ),
        })),
      },
    ],
  }
}

async function searchText(
  { workshop, scale, seeds }: PartContext,
  calibration: LabCalibration,
  text: number,
  onProgress: (share: number, doing: string) => void,
): Promise<Found[]> {
  const { subject } = workshop
  const { method, validationWindows: windows } = scale
  const { target: sparsity, budget } = scale.ablation
  const seed = seeds[text % seeds.length] ?? 1
  const firstWindow = text * windows
  const settings = searchSettings(subject, {
    ...{ targets: [sparsity], budget, seed, method, calibrationWindows: scale.calibrationWindows },
    ...{ validationWindows: windows, testWindows: 1 },
  })
  const run = await runSearch({
    ...{ laboratory: subject, calibration, settings, effort: scale.effort, firstWindow },
    onProgress: (share) => onProgress(share / 3, 'with the predictor'),
  })
  const seconds = Object.values(run.seconds).reduce((sum, value) => sum + value, 0)
  const kept = run.result.targets[0]?.keptUnits ?? []
  const found: Found[] = [
    { text, way: 'uniform', kept: uniformPolicy(subject.model, sparsity), evaluations: 0, seconds: null },
    { text, way: 'predictor', kept, evaluations: run.result.evaluations.total, seconds },
  ]
  for (const [index, way] of ways.entries()) {
    onProgress((index + 1) / 3, `${way} on measurements`)
    const judged = await searchByEvaluations({
      ...{ way, laboratory: subject, calibration, method, sparsity, windows, firstWindow, seed },
      ...{ evaluations: budget, seconds },
    })
    const asMany = judged.slice(0, budget)
    const inTime = judged.filter((one) => one.seconds <= seconds)
    found.push(foundBy(`${way}, equal evaluations`, text, asMany, bestWithin(judged, { evaluations: budget })))
    found.push(foundBy(`${way}, equal time`, text, inTime, bestWithin(judged, { seconds })))
  }
  return found
}

function foundBy(way: string, text: number, judged: readonly JudgedPolicy[], best: JudgedPolicy | undefined): Found {
  return { text, way, kept: best?.kept ?? [], evaluations: judged.length, seconds: judged.at(-1)?.seconds ?? 0 }
}

async function compare(
  { workshop, scale }: PartContext,
  calibration: LabCalibration,
  found: readonly Found[],
): Promise<Compared[]> {
  const { subject } = workshop
  const measured = await subject.measure({
    ...{ policies: found.map(({ kept }) => kept), calibration, method: scale.method },
    ...{ split: 'test', windows: scale.testWindows },
  })
  const length = Math.floor(scale.testWindows / TEST_PARTS)
  const perplexity = (nll: readonly number[]) => Math.exp(mean(nll) / (subject.windowLength - 1))
  return found.map((one, index) => {
    const nll = measured[index]?.nll ?? []
    const parts = Array.from({ length: TEST_PARTS }, (_, part) => nll.slice(part * length, (part + 1) * length))
    return { ...one, perplexities: [...parts, nll].map(perplexity) }
  })
}

function findings(compared: readonly Compared[]): string[] {
  const texts = [...new Set(compared.map(({ text }) => text))]
  const all = ({ perplexities }: Compared) => perplexities.at(-1) ?? Number.POSITIVE_INFINITY
  const lines = texts.map((text) => {
    const rows = compared.filter((one) => one.text === text)
    const ranked = [...rows].sort((a, b) => all(a) - all(b))
    return `Text ${text + 1}: ${ranked.map((one) => `${one.way} ${all(one).toFixed(2)}`).join(', ')}.`
  })
  const losses = compared.filter((one) => {
    const ours = compared.find(({ text, way }) => text === one.text && way === 'predictor')
    return ours !== undefined && one !== ours && all(one) < all(ours)
  })
  const lost = losses.map(({ text, way }) => `${way} (text ${text + 1})`)
  return [
    ...lines,
    lost.length === 0 ? 'Nothing beats the predictor here.' : `Better than the predictor: ${lost.join('; ')}.`,
  ]
}
