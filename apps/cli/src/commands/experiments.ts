import { evaluationsFileSchema } from '@espalier/contracts'
import {
  type ComparedPredictor,
  comparedPredictors,
  comparePredictors,
  type PredictorResult,
  SPARSITY_BINS,
} from '@espalier/experiments'
import { createEvaluationSet } from '@espalier/predictor'
import { Command, InvalidArgumentError } from 'commander'
import { integerFrom, parseCounts } from '../input/parse-options.js'
import { readJsonFile } from '../input/read-json.js'
import { formatPercent } from '../output/format-values.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier experiments`: measure the parts of Espalier against their alternatives, without a server. */
export function createExperimentsCommand(terminal: Terminal): Command {
  return new Command('experiments')
    .summary('measure the parts of Espalier against their alternatives')
    .addCommand(createPredictorExperiment(terminal))
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
