import { join } from 'node:path'
import {
  type ExperimentNumber,
  type ExperimentsReport,
  evaluationsFileSchema,
  experimentNumbers,
} from '@espalier/contracts'
import {
  type ComparedPredictor,
  comparedPredictors,
  comparePredictors,
  type PredictorResult,
  SPARSITY_BINS,
} from '@espalier/experiments'
import { createEvaluationSet } from '@espalier/predictor'
import { Command, InvalidArgumentError } from 'commander'
import { runExperiments } from '../experiments/run-experiments.js'
import { fetchModel, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom, parseCounts } from '../input/parse-options.js'
import { readJsonFile } from '../input/read-json.js'
import { formatPercent } from '../output/format-values.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

interface ReportOptions {
  readonly model: string
  readonly texts?: string
  readonly evaluations?: string
  readonly out: string
  readonly parts: ExperimentNumber[]
  readonly seeds: number[]
  readonly quick?: true
  readonly fresh?: true
  readonly json?: true
}

/** `espalier experiments`: measure the parts of Espalier against their alternatives, without a server. */
export function createExperimentsCommand(terminal: Terminal): Command {
  return new Command('experiments')
    .summary('measure the parts of Espalier against their alternatives')
    .description(
      'Writes a report on a model: report.md, report.json and plots. Parts: 1 predictor accuracy, 2 the agent under ' +
        'constraints, 3 time of an evaluation, 4 more heads and other architectures, 5 the predictor against searches ' +
        'that only measure, 6 what a policy costs and when it has paid, 7 stability. Each part is written when it is ' +
        'finished; the same command goes on with what is missing.',
    )
    .option('--model <model>', modelArgument, 'demo')
    .option('--texts <dir>', 'folder with calibration, validation and test, .txt or .json (default: MODEL/texts)')
    .option('--evaluations <file>', 'measured policies for part 1, format espalier-evaluations/1')
    .option('--out <dir>', 'folder of the report', 'experiments')
    .option('--parts <list>', 'parts to measure, e.g. 1,3', parseParts, [...experimentNumbers])
    .option('--seeds <list>', 'seeds of what is random', parseSeeds, [1, 2, 3])
    .option('--quick', 'only show that everything works: tiny measurements whose numbers mean nothing')
    .option('--fresh', 'begin a new report, whatever the folder holds')
    .option('--json', 'print the report as one JSON object')
    .action((options: ReportOptions) => runReport(options, terminal))
    .addCommand(createPredictorExperiment(terminal))
}

async function runReport(options: ReportOptions, terminal: Terminal): Promise<void> {
  const report = await runInterruptible(async (signal) => {
    signal.addEventListener('abort', () =>
      terminal.note(`stopping; finished parts are in ${options.out}, and the same command goes on with the others`),
    )
    const directory = await fetchModel(options.model, terminal, signal)
    return runExperiments(
      {
        ...{ directory, signal, out: options.out, parts: options.parts, seeds: options.seeds },
        texts: options.texts ?? join(directory, 'texts'),
        evaluations: options.evaluations ?? null,
        ...{ quick: options.quick ?? false, fresh: options.fresh ?? false },
      },
      terminal,
    )
  })
  terminal.print(options.json ? JSON.stringify(report) : renderFindings(report, options.out))
}

function renderFindings({ parts }: ExperimentsReport, out: string): string {
  const lines = parts.flatMap(({ part, title, findings }) => [
    `${part}. ${title}`,
    ...findings.map((finding) => `   ${finding}`),
  ])
  return [...lines, '', join(out, 'report.md')].join('\n')
}

function parseParts(text: string): ExperimentNumber[] {
  return text.split(',').map((part) => {
    const number = experimentNumbers.find((known) => String(known) === part.trim())
    if (number !== undefined) return number
    throw new InvalidArgumentError(`"${part}" is no part of the report; there are ${experimentNumbers.join(', ')}.`)
  })
}

function parseSeeds(text: string): number[] {
  return text.split(',').map((part) => integerFrom(0, 2 ** 32 - 1)(part.trim()))
}

interface PredictorOptions {
  readonly evaluations: string
  readonly trainSize: number[]
  readonly draws: number
  readonly seed: number
  readonly predictors: ComparedPredictor[]
  readonly json?: true
}

/** `espalier experiments predictor`: every kind of predictor on evaluations that it has not seen. */
function createPredictorExperiment(terminal: Terminal): Command {
  return new Command('predictor')
    .summary('compare all kinds of predictor on measured policies')
    .description(
      'Trains every kind of predictor on the first N evaluations of a file, and of the same file in seeded random ' +
        'orders (dense model and probes first), and predicts the rest.',
    )
    .requiredOption('--evaluations <file>', 'measured policies, format espalier-evaluations/1')
    .option('--train-size <counts>', 'evaluations to train on', parseCounts, [30, 60, 120, 240])
    .option('--draws <count>', 'random orders besides that of the file', integerFrom(0, 1000), 4)
    .option('--seed <number>', 'seed of the orders and of training', integerFrom(0, 2 ** 32 - 1), 1)
    .option('--predictors <kinds>', `of ${comparedPredictors.join(',')}`, parsePredictors, [...comparedPredictors])
    .option('--json', 'print one JSON object')
    .action((options: PredictorOptions) => runPredictorExperiment(options, terminal))
}

async function runPredictorExperiment(options: PredictorOptions, terminal: Terminal): Promise<void> {
  const code = 'EVALUATIONS_INVALID'
  const file = await readJsonFile(options.evaluations, evaluationsFileSchema, 'of format espalier-evaluations/1', code)
  const set = createEvaluationSet(file)
  const { draws, seed } = options
  const results = await comparePredictors({
    ...{ set, draws, seed },
    predictors: options.predictors,
    trainSizes: options.trainSize,
    now: () => performance.now() / 1000,
    onProgress: (kind, size, order) => terminal.live([`${kind} predictor on ${size} evaluations, order: ${order}`]),
  })
  terminal.live([])
  const head = { model: file.model.name, protocol: file.protocol, evaluations: set.evaluations.length, draws, seed }
  terminal.print(
    options.json
      ? JSON.stringify({ ...head, sparsityBins: SPARSITY_BINS, results })
      : renderResults(results, terminal.colors),
  )
}

function renderResults(results: readonly PredictorResult[], colors: Terminal['colors']): string {
  const right = (title: string) => ({ title, align: 'right' as const })
  const columns = [right('trained on'), { title: 'predictor' }].concat(
    ['within bins', 'overall', 'MAE', 'in 90 %', 'training s'].map(right),
  )
  const rows = results.map((result) => [
    String(result.trainSize),
    result.predictor,
    result.withinBinSpearman?.toFixed(3) ?? '-',
    result.spearman.toFixed(3),
    result.meanAbsoluteError.toFixed(3),
    formatPercent(result.intervalCoverage),
    result.trainingSeconds.toFixed(2),
  ])
  const notes = [
    `Mean over ${results[0]?.runs.length} orders of the evaluations; each time all others are predicted.`,
    `within bins: Spearman correlation of measured and predicted log-perplexity, mean over bins of sparsity ${SPARSITY_BINS.join(', ')}`,
    'overall: the same over all; MAE: of log-perplexity; in 90 %: measured values inside the 90 % interval',
  ]
  return [...renderTable(columns, rows, colors), '', ...notes].join('\n')
}

function parsePredictors(text: string): ComparedPredictor[] {
  return text.split(',').map((part) => {
    const kind = comparedPredictors.find((name) => name === part.trim())
    if (kind) return kind
    throw new InvalidArgumentError(`"${part}" is not a kind of predictor; there are ${comparedPredictors.join(', ')}.`)
  })
}
