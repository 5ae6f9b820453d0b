import type { FrontPoint } from '@espalier/contracts'
import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { getFront } from '../client/search-requests.js'
import { formatBytes, formatCount, formatPercent, formatPerplexity } from '../output/format-values.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier front`: what a search has measured that nothing else beats. */
export function createFrontCommand(terminal: Terminal): Command {
  return new Command('front')
    .summary('show the Pareto front of a search: perplexity against size and speed')
    .description(
      'Shows the measured policies that no other one beats in both perplexity and size, and in both perplexity and ' +
        'time a token where latencies were measured. All on the validation windows of the search.',
    )
    .argument('<id>', 'id of a search')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print one JSON object, with the kept units of every policy')
    .action(async (id: string, options: { home?: string; json?: true }) => {
      const front = await getFront(await getService(configurationFor(options.home)), id)
      if (options.json) return terminal.print(JSON.stringify(front))
      const lines = [
        `Perplexity against size, of ${front.policies} policies measured on ${front.windows} windows:`,
        ...renderFront(front.size, terminal),
        ...(front.speed === null
          ? []
          : ['', 'Perplexity against time a token:', ...renderFront(front.speed, terminal)]),
      ]
      terminal.print(lines.join('\n'))
    })
}

function renderFront(points: readonly FrontPoint[], { colors }: Terminal): string[] {
  const columns = [
    'perplexity',
    'sparsity',
    'parameters',
    'weights',
    'KV a token',
    'FLOPs a token',
    'ms a token',
    'from',
  ]
  const rows = points.map((point) => [
    formatPerplexity(point.perplexity),
    formatPercent(point.sparsity, 1),
    formatCount(point.parameters),
    formatBytes(point.weightBytes),
    formatBytes(point.kvBytesPerToken),
    formatCount(point.flopsPerToken),
    point.secondsPerToken === null ? '-' : (1000 * point.secondsPerToken).toPrecision(3),
    point.purpose,
  ])
  return renderTable(
    columns.map((title) => ({ title, align: 'right' })),
    rows,
    colors,
  )
}
