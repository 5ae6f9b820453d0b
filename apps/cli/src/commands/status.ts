import type { SearchResource } from '@espalier/contracts'
import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { getSearch, listSearches } from '../client/search-requests.js'
import { formatPerplexity, formatTarget } from '../output/format-values.js'
import { renderProgress } from '../output/render-progress.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier status`: all searches, or one of them. */
export function createStatusCommand(terminal: Terminal): Command {
  return new Command('status')
    .summary('list the searches, or show one')
    .description('Lists the searches of the running service, oldest first; with an id, shows that one.')
    .argument('[id]', 'id of a search')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print JSON: one object, or an array')
    .action(async (id: string | undefined, options: { home?: string; json?: true }) => {
      const client = await getService(configurationFor(options.home))
      if (id === undefined) {
        const searches = await listSearches(client)
        terminal.print(options.json ? JSON.stringify(searches) : renderSearches(searches, terminal))
        return
      }
      const search = await getSearch(client, id)
      terminal.print(options.json ? JSON.stringify(search) : renderProgress(search, terminal.colors).join('\n'))
    })
}

function renderSearches(searches: readonly SearchResource[], terminal: Terminal): string {
  if (searches.length === 0) return 'no searches yet'
  const rows = searches.map((search) => [
    search.id,
    search.name ?? search.model.name,
    search.state,
    search.progress === null ? '-' : `${search.progress.evaluationsDone}/${search.progress.evaluationsBudget}`,
    search.best.map((best) => `${formatTarget(best)}: ${formatPerplexity(best.bestPerplexity)}`).join('  '),
    search.waitReason ?? search.error?.message ?? '',
  ])
  const columns = ['id', 'name', 'state', 'evaluations', 'best perplexity', ''].map((title) => ({ title }))
  return renderTable(columns, rows, terminal.colors).join('\n')
}
