import { once } from 'node:events'
import { Command } from 'commander'
import { configurationFor } from '../client/find-service.js'
import { InterruptedError } from '../input/command-errors.js'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom } from '../input/parse-options.js'
import { createServiceLog } from '../output/service-log.js'
import type { Terminal } from '../output/terminal.js'
import { serviceFilesOf } from '../service/service-home.js'
import { startService } from '../service/start-service.js'

/** `espalier up`: the service, until it is told to stop. */
export function createUpCommand(terminal: Terminal): Command {
  return new Command('up')
    .summary('start the service and keep it running')
    .description(
      'Starts the API, the dispatcher, the workers and, unless DATABASE_URL is set, an embedded Postgres, and starts ' +
        'again whatever ends unexpectedly. Ctrl-C stops everything in order; another Ctrl-C at once. Searches that are ' +
        'not finished go on at the next start.',
    )
    .option('--port <number>', 'port of the API (default: PORT, or 7077, or a free one)', integerFrom(0, 65_535))
    .option('--home <dir>', 'where everything is kept (default: ESPALIER_HOME or ~/.espalier)')
    .action(async (options: { port?: number; home?: string }) => {
      await runInterruptible((signal, interruption) =>
        keepUp(options, terminal, signal, interruption.onImpatience),
      ).catch((error: unknown) => {
        // Ctrl-C is how this command ends.
        if (!(error instanceof InterruptedError)) throw error
      })
    })
}

async function keepUp(
  options: { port?: number; home?: string },
  terminal: Terminal,
  signal: AbortSignal,
  onImpatience: (callback: () => void) => void,
): Promise<void> {
  const configuration = configurationFor(options.home)
  const service = await startService({
    configuration: { ...configuration, port: options.port ?? configuration.port },
    log: createServiceLog(terminal, 'all'),
    signal,
  })
  onImpatience(() => service.kill())
  const { colors } = terminal
  terminal.print(
    [
      `${colors.bold('Espalier')} runs at ${colors.cyan(service.url)}; Ctrl-C stops it`,
      `  documentation  ${service.url}/docs`,
      `  admin key      ${service.keyFile}`,
      `  logs           ${serviceFilesOf(configuration.home).logs}`,
    ].join('\n'),
  )
  if (!signal.aborted) await once(signal, 'abort')
  terminal.note('stopping; Ctrl-C once more ends everything at once')
  await service.stop()
}
