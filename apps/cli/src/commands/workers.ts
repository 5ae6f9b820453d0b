import { type WorkerResource, workerPageSchema } from '@espalier/contracts'
import { Command } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { renderTable } from '../output/render-table.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier workers`: who does the work. */
export function createWorkersCommand(terminal: Terminal): Command {
  return new Command('workers')
    .summary('list the processes that do the work')
    .description('Lists the processes of the running service, what they compute with and how much they have done.')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print a JSON array')
    .action(async (options: { home?: string; json?: true }) => {
      const client = await getService(configurationFor(options.home))
      const { items } = await client.get('/v1/workers?limit=200', workerPageSchema)
      terminal.print(options.json ? JSON.stringify(items) : renderWorkers(items, terminal))
    })
}

function renderWorkers(workers: readonly WorkerResource[], terminal: Terminal): string {
  const rows = workers.map((worker) => [
    worker.role,
    worker.node,
    String(worker.pid),
    worker.alive ? (worker.currentStepId === null ? 'waits' : 'works') : 'silent',
    String(worker.doneSteps),
    String(worker.refusedResults),
    Object.entries(worker.details)
      .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
      .join(', '),
  ])
  const columns = ['role', 'node', 'pid', 'state', 'done', 'refused', 'details'].map((title) => ({ title }))
  return renderTable(columns, rows, terminal.colors).join('\n')
}
