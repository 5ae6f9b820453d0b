import { createQueue } from '@espalier/queue'
import { createLogger, loadConfiguration, runUntilStopped } from '@espalier/runtime'
import { createStore, requireDatabaseUrl } from '@espalier/store'
import { runDispatcher } from './run-dispatcher.js'

const config = loadConfiguration()
const logger = createLogger('dispatcher', config)

await runUntilStopped({
  name: 'dispatcher',
  logger,
  async start() {
    const databaseUrl = requireDatabaseUrl(config.databaseUrl)
    const store = createStore({ databaseUrl })
    const queue = createQueue({
      databaseUrl,
      redisUrl: config.redisUrl,
      onError: (err) => logger.warn({ err }, 'queue trouble'),
    })
    const dispatcher = await runDispatcher({ store, queue, logger, config })
    return {
      async stop() {
        await dispatcher.stop()
        await queue.close()
        await store.close()
      },
    }
  },
})
