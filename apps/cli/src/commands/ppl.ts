import type { WeightPrecision } from '@espalier/contracts'
import { Command } from 'commander'
import { UsageError } from '../input/command-errors.js'
import { fetchModel, fetchText, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom, listOf } from '../input/parse-options.js'
import { readPolicy } from '../input/read-policy.js'
import type { TokenSource } from '../input/read-tokens.js'
import { createWeightsOption } from '../input/weights-option.js'
import { measurePerplexity, type PerplexityReport } from '../measure-perplexity.js'
import { formatPercent, formatPerplexity } from '../output/format-values.js'
import type { Terminal } from '../output/terminal.js'

interface PplOptions {
  readonly text?: string
  readonly ids?: string
  readonly window: number
  readonly windows?: number
  readonly policy?: string
  readonly calibrationText?: string
  readonly calibrationIds?: string
  readonly calibrationWindows?: number
  readonly threads?: number
  readonly weights: WeightPrecision
  readonly metrics?: readonly PplMetric[]
  readonly json?: true
}

/** Beyond perplexity and bits per byte, which cost nothing; any of these costs a pass of the dense model. */
const pplMetrics = ['kl', 'top1'] as const
type PplMetric = (typeof pplMetrics)[number]

/** `espalier ppl`: measure perplexity here and now, without a server. */
export function createPplCommand(terminal: Terminal): Command {
  return new Command('ppl')
    .summary('measure the perplexity of a model or of a policy, without a server')
    .description(
      'Measures perplexity: the whole text is tokenised without special tokens and cut into windows; what is left over ' +
        'is dropped. Perplexity = exp(sum of negative log-likelihoods / predicted tokens). Bits per byte = their sum / ' +
        'ln 2 / UTF-8 bytes from the end of the first token of each window to the end of its last. KL divergence is that ' +
        "of the policy's next-token distribution from the dense model's, in nats a token; top-1 agreement the share of " +
        'tokens at which both think the same token most probable.',
    )
    .argument('<model>', modelArgument)
    .option('--text <source>', 'text to measure on: a file, JSON lines or Parquet (rows.jsonl#field), folder::split')
    .option('--ids <file>', 'the same as token ids: a JSON array of whole numbers')
    .requiredOption('--window <tokens>', 'tokens a window', integerFrom(2))
    .option('--windows <count>', 'windows from the start of the text (default: all)', integerFrom(1))
    .option('--policy <file>', 'policy file, format espalier-policy/1 (default: the dense model)')
    .option('--calibration-text <source>', 'text that ranks units and gives what compensation needs')
    .option('--calibration-ids <file>', 'the same as token ids')
    .option('--calibration-windows <count>', 'windows of it (default: 16, or all if fewer)', integerFrom(1))
    .option('--threads <count>', 'threads of the numeric session (default: all cores)', integerFrom(1, 1024))
    .addOption(createWeightsOption())
    .option('--metrics <list>', `also compare with the dense model: ${pplMetrics.join(',')}`, listOf(pplMetrics))
    .option('--json', 'print one JSON object')
    .action((model: string, options: PplOptions) => runPpl(model, options, terminal))
}

async function runPpl(model: string, options: PplOptions, terminal: Terminal): Promise<void> {
  const tokens = chooseSource(options.text, options.ids, '--text FILE', '--ids FILE')
  if (tokens === null) throw new UsageError('ppl needs something to measure on: give --text FILE or --ids FILE')
  const calibration = chooseSource(
    ...([
      options.calibrationText,
      options.calibrationIds,
      '--calibration-text FILE',
      '--calibration-ids FILE',
    ] as const),
  )
  const policy = options.policy === undefined ? null : await readPolicy(options.policy)
  const report = await runInterruptible(async (signal) =>
    measurePerplexity({
      modelDirectory: await fetchModel(model, terminal, signal),
      tokens: await fetchTokens(tokens, terminal, signal),
      calibration: calibration && (await fetchTokens(calibration, terminal, signal)),
      ...{ policy, signal },
      windowLength: options.window,
      windows: options.windows ?? null,
      calibrationWindows: options.calibrationWindows ?? null,
      threads: options.threads ?? null,
      weights: options.weights,
      compareWithDense: options.metrics !== undefined,
      onProgress: (stage, done, windows) => terminal.live([`${stage}: ${done} of ${windows} windows`]),
    }),
  )
  terminal.live([])
  terminal.print(options.json ? JSON.stringify(report) : renderReport(report))
}

async function fetchTokens(source: TokenSource, terminal: Terminal, signal: AbortSignal): Promise<TokenSource> {
  return 'text' in source ? { text: await fetchText(source.text, terminal, signal) } : source
}

function chooseSource(
  text: string | undefined,
  ids: string | undefined,
  textOption: string,
  idsOption: string,
): TokenSource | null {
  if (text !== undefined && ids !== undefined)
    throw new UsageError(`give one of ${textOption} and ${idsOption}, not both`)
  if (ids !== undefined) return { ids }
  return text === undefined ? null : { text }
}

function renderReport(report: PerplexityReport): string {
  const policy =
    report.metric === null
      ? 'dense'
      : `${formatPercent(report.sparsity, 2)} pruned by ${report.metric}, compensation ${report.compensation}`
  return [
    `perplexity  ${formatPerplexity(report.perplexity)}  (${report.perplexity})`,
    ...(report.bitsPerByte === null ? [] : [`bits/byte   ${report.bitsPerByte.toFixed(4)}`]),
    ...(report.klDivergence === null ? [] : [`KL          ${report.klDivergence.toPrecision(4)} nats a token`]),
    ...(report.top1Agreement === null
      ? []
      : [`top-1       ${formatPercent(report.top1Agreement, 2)} as the dense model`]),
    `policy      ${policy}`,
    `measured    ${report.windows} windows of ${report.windowLength} tokens in ${report.seconds.toFixed(1)} s`,
  ].join('\n')
}
