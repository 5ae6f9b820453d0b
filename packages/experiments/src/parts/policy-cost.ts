import { EspalierError, type KeptUnits, type ReportTable } from '@espalier/contracts'
import { denseUnits, selectKeptIndices } from '@espalier/pruning'
import { breakEvenTokens } from '../break-even.js'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import type { LabCalibration, Laboratory, WrittenModel } from '../laboratory.js'
import { runSearch } from '../run-search.js'
import { searchSettings } from '../search-settings.js'

export const policyCost: ExperimentPart = {
  part: 6,
  title: 'What a policy costs to make, and when it has paid',
  run: runPolicyCost,
}

interface Written {
  readonly name: string
  readonly kept: KeptUnits
  readonly written: WrittenModel
  /** Share of the dense model's KV cache that a token takes. */
  readonly cacheShare: number
}

interface Timed extends Written {
  /** Tokens a second where the evaluator applies the policy to the dense model's weights. */
  readonly evaluatedPerSecond: number
}

async function runPolicyCost({ workshop, scale, seeds, progress }: PartContext): Promise<PartResult> {
  const { subject } = workshop
  const { method } = scale
  const calibration = await subject.calibrate(scale.calibrationWindows)
  const settings = searchSettings(subject, {
    ...{ targets: scale.targets, budget: scale.cost.budget, seed: seeds[0] ?? 1, method },
    calibrationWindows: scale.calibrationWindows,
    ...{ validationWindows: scale.validationWindows, testWindows: 1 },
  })
  const { result, seconds } = await runSearch({
    ...{ laboratory: subject, calibration, settings, effort: scale.effort },
    onProgress: (share) => progress(0.8 * share, 'searching'),
  })
  const rankings = calibration.rankings(method.metric)
  const { runWindows: windows, runs } = scale.cost
  const write = async (name: string, kept: KeptUnits): Promise<Written> => {
    const written = await subject.writeAndRun({
      ...{ kept: selectKeptIndices(rankings, kept), calibration, method, windows, runs },
    })
    return { name, kept, written, cacheShare: groupsOf(kept) / groupsOf(denseUnits(subject.model)) }
  }
  progress(0.8, 'writing and running the dense model')
  const written = [await write('dense', denseUnits(subject.model))]
  for (const [index, { keptUnits, sparsityTarget }] of result.targets.entries()) {
    progress(0.85 + (0.15 * index) / result.targets.length, 'writing and running the pruned models')
    written.push(await write(`${(100 * sparsityTarget).toFixed(0)} %`, keptUnits))
  }
  const perSecond = await evaluateInTurns(subject, calibration, scale, written)
  const [dense, ...pruned] = written.map((one, index) => ({ ...one, evaluatedPerSecond: perSecond[index] ?? 0 }))
  if (!dense) throw new EspalierError('INTERNAL', 'The dense model is always written')
  const stages: [string, number][] = [
    ['calibration', calibration.seconds],
    ['dense model', seconds.dense],
    ['probes', seconds.probes],
    ['other real evaluations', seconds.otherEvaluations],
    ['training the predictor', seconds.train],
    ["the agent's proposals", seconds.propose],
    ['scoring', seconds.score],
  ]
  const cost = stages.reduce((sum, [, value]) => sum + value, 0)
  return {
    method:
      `One search of ${scale.targets.length} targets with ${result.evaluations.total} evaluations, from calibration to the policies, the generator for other sparsities included; what only reports (test text, exports) does not count. ` +
      'The dense model and each policy are then written as compact ONNX models, loaded from their files and run on ' +
      `${scale.cost.runWindows} windows of ${subject.windowLength} tokens, the fastest of ${scale.cost.runs} runs. Break-even: tokens after which the time ` +
      'saved makes up for the whole search, although it made the policies of all targets. Only the runs of ' +
      'ONNX Runtime count, one window each, logits of all positions included; *as evaluated* is the speed inside the evaluator, which applies the ' +
      'policy to the weights of the dense model. Memory: the files, and the KV cache of a token; of so small a model the ' +
      'resident memory is that of the runtime. Throughput is that of whole windows, not of generation token by token.',
    findings: findings(dense, pruned, cost),
    tables: [
      {
        title: 'Cost of the search',
        columns: [
          { title: 'stage', format: 'text' },
          { title: 'time', format: 'seconds' },
          { title: 'share', format: 'percent' },
        ],
        rows: [...stages.map(([name, value]) => [name, value, value / cost]), ['all', cost, 1]],
      },
      gainTable(dense, pruned, cost),
    ],
    plots: [
      {
        name: 'break-even',
        title: 'Time for so many tokens, the search included',
        x: { label: 'tokens', scale: 'log' },
        y: { label: 'seconds', scale: 'log' },
        series: [{ ...dense, once: 0 }, ...pruned.map((one) => ({ ...one, once: cost }))].map(
          ({ name, written, once }) => ({
            name,
            style: once === 0 ? 'dashed' : 'line',
            points: [4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5].map((exponent) => {
              const tokens = 10 ** exponent
              return [tokens, once + tokens / written.tokensPerSecond] as [number, number]
            }),
          }),
        ),
      },
    ],
  }
}

/** Tokens a second of each, the fastest of several rounds, in turns: what else the machine does only adds time. */
async function evaluateInTurns(
  subject: Laboratory,
  calibration: LabCalibration,
  { method, cost }: PartContext['scale'],
  models: readonly Written[],
): Promise<number[]> {
  const windows = cost.runWindows
  const fastest = models.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < cost.runs; round++) {
    for (const [index, { kept }] of models.entries()) {
      const started = subject.now()
      await subject.measure({ policies: [kept], calibration, method, windows, split: 'test', alone: true })
      fastest[index] = Math.min(fastest[index] ?? 0, subject.now() - started)
    }
  }
  return fastest.map((seconds) => (windows * subject.windowLength) / seconds)
}

/** KV groups that a policy keeps. */
function groupsOf(kept: KeptUnits): number {
  return kept.reduce((sum, units, module) => (module % 2 === 0 ? sum + units : sum), 0)
}

function gainTable(dense: Timed, pruned: readonly Timed[], cost: number): ReportTable {
  return {
    title: 'What the pruned models save',
    columns: [
      { title: 'model', format: 'text' },
      { title: 'parameters', format: 'count' },
      { title: 'files', format: 'bytes' },
      { title: 'KV cache', format: 'percent' },
      { title: 'tokens/s', format: 'count' },
      { title: 'speed-up', format: 'times' },
      { title: 'speed-up as evaluated', format: 'times' },
      { title: 'perplexity', format: 'perplexity' },
      { title: 'break-even, tokens', format: 'count' },
      { title: 'as evaluated', format: 'count' },
    ],
    rows: [dense, ...pruned].map(({ name, written, cacheShare, evaluatedPerSecond }) => [
      ...[name, written.parameters, written.bytes, cacheShare, written.tokensPerSecond],
      written.tokensPerSecond / dense.written.tokensPerSecond,
      ...[evaluatedPerSecond / dense.evaluatedPerSecond, written.perplexity],
      written === dense.written ? null : breakEvenTokens(cost, dense.written.tokensPerSecond, written.tokensPerSecond),
      written === dense.written ? null : breakEvenTokens(cost, dense.evaluatedPerSecond, evaluatedPerSecond),
    ]),
  }
}

function findings(dense: Timed, pruned: readonly Timed[], cost: number): string[] {
  return pruned.map(({ name, written, evaluatedPerSecond }) => {
    const smaller = `${(100 * (1 - written.bytes / dense.written.bytes)).toFixed(0)} % smaller`
    const asFile = paysAfter(cost, dense.written.tokensPerSecond, written.tokensPerSecond)
    const evaluated = paysAfter(cost, dense.evaluatedPerSecond, evaluatedPerSecond)
    return `At ${name} the search ${asFile} as a compact ONNX model (its files are ${smaller}), and ${evaluated} at the speed of the evaluator.`
  })
}

function paysAfter(cost: number, dense: number, pruned: number): string {
  const tokens = breakEvenTokens(cost, dense, pruned)
  if (tokens === null) return 'never pays by time'
  const minutes = Number((tokens / dense / 60).toPrecision(2))
  return `has paid after ${Number(tokens.toPrecision(2)).toLocaleString('en')} tokens (${minutes} minutes of the dense model)`
}
