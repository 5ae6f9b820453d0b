import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { withAttached } from '../client/with-service.js'
import { runInterruptible } from '../input/interruption.js'
import { followSearch } from '../output/follow-search.js'
import { showResult } from '../output/show-result.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier watch`: see what a search does until it ends. */
export function createWatchCommand(terminal: Terminal): Command {
  return new Command('watch')
    .summary('show what a search does until it ends')
    .description('Shows the progress of a search, then its result. Ctrl-C stops watching; the search goes on.')
    .argument('<id>', 'id of the search')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print the result as one JSON object')
    .action(async (id: string, options: { home?: string; json?: true }) => {
      const configuration = configurationFor(options.home)
      const client = await getService(configuration)
      await runInterruptible((signal) =>
        withAttached(configuration, async () => {
          const search = await followSearch(client, id, terminal, signal)
          await showResult(client, search, { out: null, json: options.json === true, signal }, terminal)
        }),
      )
    })
}
