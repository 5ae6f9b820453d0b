import { Command } from 'commander'
import { configurationFor } from '../client/find-service.js'
import { submitSearch } from '../client/search-requests.js'
import { withService } from '../client/with-service.js'
import { fetchSearchModel, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { addSearchOptions, createSearchBody, type SearchOptions } from '../input/search-options.js'
import { followSearch } from '../output/follow-search.js'
import { createServiceLog } from '../output/service-log.js'
import { showResult } from '../output/show-result.js'
import type { Terminal } from '../output/terminal.js'

interface SearchCommandOptions extends SearchOptions {
  readonly out?: string
  readonly json?: true
  readonly home?: string
}

/** `espalier search`: the whole way from a model to pruned models, in one command. */
export function createSearchCommand(terminal: Terminal): Command {
  return addSearchOptions(new Command('search'))
    .summary('search the best policies of a model and write the pruned models')
    .description(
      'Submits a search, shows its progress and exports the pruned models. Uses the service that runs, or starts one ' +
        'for itself and stops it at the end. Ctrl-C detaches from a service that ran already, and stops an own one; ' +
        'the search can go on later.',
    )
    .argument('<model>', modelArgument)
    .option('--out <dir>', 'folder for the pruned models (default: they stay in the service)')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print one JSON object; progress goes to standard error')
    .action((model: string, options: SearchCommandOptions) => runSearch(model, options, terminal))
}

async function runSearch(model: string, options: SearchCommandOptions, terminal: Terminal): Promise<void> {
  const submitted = await runInterruptible((signal) => fetchSearchModel(model, options, terminal, signal))
  const body = await createSearchBody(options, submitted)
  const configuration = configurationFor(options.home)
  const log = createServiceLog(terminal, 'problems')
  const note = (text: string) => terminal.note(text)
  await runInterruptible((signal, interruption) =>
    withService({ configuration, interruption, log, note }, async (client, isOwn) => {
      const { id } = await submitSearch(client, submitted, body)
      terminal.note(`search ${id} of ${model} at ${client.url}`)
      signal.addEventListener('abort', () => terminal.note(interruptionAdvice(id, isOwn)))
      const search = await followSearch(client, id, terminal, signal)
      await showResult(client, search, { out: options.out ?? null, json: options.json === true, signal }, terminal)
    }),
  )
}

function interruptionAdvice(id: string, isOwn: boolean): string {
  if (!isOwn)
    return `detached; the search goes on: \`espalier watch ${id}\` looks at it, \`espalier cancel ${id}\` ends it`
  return `stopped; \`espalier up\` lets the search go on, and \`espalier watch ${id}\` looks at it`
}
