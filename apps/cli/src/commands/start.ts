import { mkdir } from 'node:fs/promises'
import { pathToFileURL } from 'node:url'
import { applyMigrations, requireDatabaseUrl } from '@espalier/store'
import { Argument, Command } from 'commander'
import { configurationFor } from '../client/find-service.js'
import type { Terminal } from '../output/terminal.js'
import { ensureAdminKey } from '../service/ensure-admin-key.js'
import { findRoleMain, type ServiceRole } from '../service/find-role-main.js'
import { serviceFilesOf } from '../service/service-home.js'

const processes = {
  api: 'api',
  dispatcher: 'dispatcher',
  agent: 'agent-worker',
  predictor: 'predictor-worker',
  evaluator: 'evaluator-worker',
} as const satisfies Record<string, ServiceRole>

/** `espalier start ROLE`: one role in this process, where an orchestrator supervises. */
export function createStartCommand(terminal: Terminal): Command {
  return new Command('start')
    .summary('run one role in this process, on a Postgres of your own')
    .description(
      'Runs one role until it is told to stop, for docker-compose and Kubernetes. Needs DATABASE_URL; the other ' +
        'variables are in the README. Any number of each role may run; all must see the models at the same path and ' +
        'share ESPALIER_ARTIFACTS. The api applies migrations and makes the admin key in ESPALIER_HOME.',
    )
    .addArgument(new Argument('<role>', 'what to run').choices(Object.keys(processes)))
    .action(async (role: keyof typeof processes) => {
      if (role === 'api') await prepareInstallation(terminal)
      await import(pathToFileURL(findRoleMain(processes[role])).href)
    })
}

async function prepareInstallation(terminal: Terminal): Promise<void> {
  const configuration = configurationFor(undefined)
  const databaseUrl = requireDatabaseUrl(configuration.databaseUrl)
  await applyMigrations(databaseUrl, { createDatabase: true })
  const { adminKey } = serviceFilesOf(configuration.home)
  await mkdir(configuration.home, { recursive: true })
  await ensureAdminKey(databaseUrl, adminKey)
  terminal.note(`the admin key is in ${adminKey}`)
}
