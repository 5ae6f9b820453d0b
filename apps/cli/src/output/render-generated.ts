import type { GeneratedPoliciesResource } from '@espalier/contracts'
import { formatBytes, formatCount, formatPercent, formatPerplexity, formatTarget } from './format-values.js'
import { renderTable } from './render-table.js'
import type { Colors } from './terminal.js'

/** Generated policies as people read them: one line a sparsity. */
export function renderGenerated({ round, range, policies }: GeneratedPoliciesResource, colors: Colors): string[] {
  const rows = policies.map(({ sparsityTarget, sparsity, predicted, parameters, bytes, speedup }) => [
    formatTarget({ sparsityTarget }),
    formatPercent(sparsity, 2),
    formatPerplexity(predicted.perplexity),
    `${formatPerplexity(predicted.low)} to ${formatPerplexity(predicted.high)}`,
    formatCount(parameters),
    formatBytes(bytes),
    `${speedup.toFixed(2)} x`,
  ])
  const columns = ['target', 'sparsity', 'perplexity', '90 % interval', 'parameters', 'weights', 'speed-up']
  return [
    'Perplexity as predicted on the validation split, not measured; speed-up by floating-point operations:',
    '',
    ...renderTable(
      columns.map((title) => ({ title, align: 'right' })),
      rows,
      colors,
    ),
    '',
    `trained in round ${round} for ${formatTarget({ sparsityTarget: range.least })} to ${formatTarget({ sparsityTarget: range.most })}`,
  ]
}
