import { rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { terminalSearchStates } from '@espalier/contracts'
import { Command } from 'commander'
import type { ApiClient } from '../client/api-client.js'
import { configurationFor } from '../client/find-service.js'
import { controlSearch, listSearches, submitSearch } from '../client/search-requests.js'
import { withOwnService } from '../client/with-service.js'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom } from '../input/parse-options.js'
import { demoModelDirectory } from '../input/resolve-model.js'
import { followSearch } from '../output/follow-search.js'
import { createServiceLog } from '../output/service-log.js'
import { showResult } from '../output/show-result.js'
import type { Terminal } from '../output/terminal.js'
import { claimHome } from '../service/claim-home.js'

const demoHome = fileURLToPath(new URL('../../../../.demo', import.meta.url))
const demoName = 'demo'

interface DemoOptions {
  readonly fresh?: true
  readonly seed: number
  readonly home: string
}

/** `espalier demo`: the whole of Espalier on the bundled model, on an otherwise bare machine. */
export function createDemoCommand(terminal: Terminal): Command {
  return new Command('demo')
    .summary('prune the bundled model at 20, 35 and 50 % and show every step')
    .description(
      'Starts a service of its own, searches the bundled model (3.6 million parameters) with 99 evaluations, and ends ' +
        'with a table. Goes on with a demo that was interrupted, unless told to start anew.',
    )
    .option('--fresh', 'forget everything of earlier demos')
    .option('--seed <number>', 'seed of a new search', integerFrom(0, 2 ** 32 - 1), 1)
    .option('--home <dir>', 'where the demo keeps everything', demoHome)
    .action((options: DemoOptions) => runDemo(options, terminal))
}

async function runDemo(options: DemoOptions, terminal: Terminal): Promise<void> {
  if (options.fresh) await forgetHome(options.home)
  const use = {
    configuration: { ...configurationFor(options.home), databaseUrl: null, redisUrl: null, port: 0 },
    log: createServiceLog(terminal, 'problems'),
    note: (text: string) => terminal.note(text),
  }
  await runInterruptible((signal, interruption) =>
    withOwnService({ ...use, interruption }, async (client) => {
      terminal.note(`watch it in a browser, too: ${client.url}/docs`)
      const id = await findOrSubmit(client, options.seed, terminal)
      signal.addEventListener('abort', () =>
        terminal.note('stopped; the same command goes on, with --fresh it starts anew'),
      )
      const search = await followSearch(client, id, terminal, signal)
      await showResult(client, search, { out: null, json: false, signal }, terminal)
    }),
  )
}

/** @throws EspalierError SERVICE_ALREADY_RUNNING when a demo runs there */
async function forgetHome(home: string): Promise<void> {
  const claim = await claimHome(home)
  await claim.release()
  await rm(home, { recursive: true, force: true })
}

async function findOrSubmit(client: ApiClient, seed: number, terminal: Terminal): Promise<string> {
  const unfinished = (await listSearches(client)).findLast(
    ({ name, state }) => name === demoName && !terminalSearchStates.includes(state),
  )
  if (unfinished === undefined) {
    // The same numbers each time.
    const search = await submitSearch(client, { path: demoModelDirectory }, { name: demoName, seed, transfer: 'none' })
    terminal.note(`search ${search.id} of the bundled model, seed ${seed}`)
    return search.id
  }
  terminal.note(`going on with search ${unfinished.id}, which was interrupted`)
  if (unfinished.state === 'PAUSED') await controlSearch(client, unfinished.id, 'resume')
  return unfinished.id
}
