import { EspalierError } from '@espalier/contracts'
import { Command } from 'commander'
import { artifactFolder, downloadArtifacts } from '../client/download-artifacts.js'
import { configurationFor, getService } from '../client/find-service.js'
import { getSearch, listArtifacts } from '../client/search-requests.js'
import { withAttached } from '../client/with-service.js'
import { runInterruptible } from '../input/interruption.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier export`: fetch the pruned models of a search. */
export function createExportCommand(terminal: Terminal): Command {
  return new Command('export')
    .summary('fetch the pruned models of a search')
    .description('Writes the pruned models of a search to a folder, every file checked against its SHA-256.')
    .argument('<id>', 'id of the search')
    .requiredOption('--out <dir>', 'folder to write to')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .action(async (id: string, options: { out: string; home?: string }) => {
      const configuration = configurationFor(options.home)
      const client = await getService(configuration)
      await runInterruptible((signal) =>
        withAttached(configuration, async () => {
          const artifacts = await listArtifacts(client, id)
          if (artifacts.length === 0) {
            const { state } = await getSearch(client, id)
            throw new EspalierError(
              'SEARCH_STATE_CONFLICT',
              `Search ${id} is ${state} and has written no pruned models`,
            )
          }
          await downloadArtifacts(client, artifacts, options.out, signal)
          terminal.print(artifacts.map((artifact) => artifactFolder(options.out, artifact)).join('\n'))
        }),
      )
    })
}
