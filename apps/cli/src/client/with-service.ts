import type { Configuration } from '@espalier/runtime'
import type { Interruption } from '../input/interruption.js'
import { shortenPath } from '../output/shorten-path.js'
import { attachToService, untilUnused } from '../service/attached-clients.js'
import type { ServiceLog } from '../service/service-line.js'
import { startService } from '../service/start-service.js'
import { type ApiClient, createApiClient } from './api-client.js'
import { findService } from './find-service.js'

export interface ServiceUse {
  readonly configuration: Configuration
  readonly interruption: Interruption
  readonly log: ServiceLog
  /** Told that a service is being started, or stopped. */
  readonly note: (text: string) => void
}

/** Runs something against the service that runs, or against one started for it and stopped after it. */
export async function withService<T>(
  use: ServiceUse,
  run: (client: ApiClient, isOwn: boolean) => Promise<T>,
): Promise<T> {
  const running = await findService(use.configuration)
  if (running !== undefined) return withAttached(use.configuration, () => run(running, false))
  return withOwnService(use, (client) => run(client, true))
}

/** Runs something that a service of this machine, should it be another command's own, is to wait for. */
export async function withAttached<T>(configuration: Configuration, run: () => Promise<T>): Promise<T> {
  if (configuration.url !== null) return run()
  const detach = await attachToService(configuration.home)
  return run().finally(detach)
}

/**
 * Runs something against a service started for it, on any free port, and stopped after it however it ended.
 * @throws EspalierError what `startService` throws
 */
export async function withOwnService<T>(use: ServiceUse, run: (client: ApiClient) => Promise<T>): Promise<T> {
  const { configuration, interruption, log, note } = use
  note(`starting a service in ${shortenPath(configuration.home)}`)
  const { signal } = interruption
  const service = await startService({
    configuration: { ...configuration, port: configuration.port ?? 0 },
    log,
    signal,
  })
  interruption.onImpatience(() => service.kill())
  try {
    return await run(createApiClient(service))
  } finally {
    await untilUnused(configuration.home, signal, (clients) =>
      note(`${clients} other command(s) use this service: it stops when they have ended, or at Ctrl-C`),
    )
    note('stopping the service')
    await service.stop()
  }
}
