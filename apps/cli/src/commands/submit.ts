import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { submitSearch } from '../client/search-requests.js'
import { fetchSearchModel, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { addSearchOptions, createSearchBody, type SearchOptions } from '../input/search-options.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier submit`: hand a search to the running service and leave. */
export function createSubmitCommand(terminal: Terminal): Command {
  return addSearchOptions(new Command('submit'))
    .summary('submit a search to the running service and do not wait for it')
    .description('Submits a search to the running service and prints its id; `watch`, `status` and `export` take it.')
    .argument(
      '<model>',
      `${modelArgument}; a folder on the machine of the service, which downloads a model of the hub itself`,
    )
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print the search as one JSON object')
    .action(async (model: string, options: SearchOptions & { home?: string; json?: true }) => {
      const submitted = await runInterruptible((signal) => fetchSearchModel(model, options, terminal, signal))
      const body = await createSearchBody(options, submitted)
      const client = await getService(configurationFor(options.home))
      const search = await submitSearch(client, submitted, body)
      terminal.print(options.json ? JSON.stringify(search) : search.id)
      terminal.note(`submitted; \`espalier watch ${search.id}\` shows what it does`)
    })
}
