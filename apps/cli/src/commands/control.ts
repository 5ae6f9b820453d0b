import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { controlSearch } from '../client/search-requests.js'
import type { Terminal } from '../output/terminal.js'

const summaries = {
  cancel: 'end a search; what it has measured is kept',
  pause: 'let a search rest: what runs is finished, nothing new starts',
  resume: 'let a paused search go on',
} as const

/** `espalier cancel`, `pause`, `resume`: three requests that differ in a word. */
export function createControlCommand(action: keyof typeof summaries, terminal: Terminal): Command {
  return new Command(action)
    .summary(summaries[action])
    .description(`${summaries[action][0]?.toUpperCase()}${summaries[action].slice(1)}.`)
    .argument('<id>', 'id of the search')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print the search as one JSON object')
    .action(async (id: string, options: { home?: string; json?: true }) => {
      const client = await getService(configurationFor(options.home))
      const search = await controlSearch(client, id, action)
      terminal.print(options.json ? JSON.stringify(search) : `search ${search.id} is ${search.state}`)
    })
}
