import type { ExecutionProvider, LatencyTable } from '@espalier/contracts'
import { measureLatencies } from '@espalier/evaluator'
import { readModelShape } from '@espalier/model-graph'
import { contextLengthOf } from '@espalier/pruning'
import { Command, Option } from 'commander'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom } from '../input/parse-options.js'
import { resolveModelDirectory } from '../input/resolve-model.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

interface LatencyCommandOptions {
  readonly context?: number
  readonly threads?: number
  readonly provider: ExecutionProvider
  readonly json?: true
}

/** `espalier measure-latency`: how long a token takes here, by the units kept. */
export function createMeasureLatencyCommand(terminal: Terminal): Command {
  return new Command('measure-latency')
    .summary('measure how long a token takes on this machine, by the units kept')
    .description(
      'Times the products of one token in ONNX Runtime at several numbers of units; weights need not be there. The ' +
        'output of --json is what `search --latencies FILE` takes, also on another machine.',
    )
    .argument('<model>', 'folder with the config.json of a Hugging Face model, or "demo"')
    .option(
      '--context <tokens>',
      'tokens in the context (default: 2048, or as many as the model takes)',
      integerFrom(1, 10_000_000),
    )
    .option('--threads <count>', 'threads (default: all cores)', integerFrom(1, 4096))
    .addOption(new Option('--provider <name>', 'where to measure').choices(['cpu', 'cuda']).default('cpu'))
    .option('--json', 'print one JSON object')
    .action(async (model: string, options: LatencyCommandOptions) => {
      const { shape } = await readModelShape(resolveModelDirectory(model))
      const { threads, provider } = options
      const contextLength = contextLengthOf(shape, options.context)
      const table = await runInterruptible((signal) =>
        measureLatencies(shape, { contextLength, threads, provider, signal }),
      )
      terminal.print(options.json ? JSON.stringify(table) : renderLatencies(table, terminal))
    })
}

function renderLatencies(table: LatencyTable, { colors }: Terminal): string {
  const rows = (['attention', 'ffn'] as const).flatMap((kind) =>
    table[kind].map(({ kept, seconds }) => [kind, String(kept), (1e6 * seconds).toFixed(1)]),
  )
  const columns = [
    { title: 'block' },
    { title: 'units kept', align: 'right' as const },
    { title: 'us a token', align: 'right' as const },
  ]
  return [
    `One token with ${table.contextLength} in the context on ${table.device}; output head ${(1e6 * table.fixedSeconds).toFixed(1)} us`,
    '',
    ...renderTable(columns, rows, colors),
  ].join('\n')
}
