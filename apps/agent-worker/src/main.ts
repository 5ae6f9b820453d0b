import { createQueue } from '@espalier/queue'
import { createArtifactStore, createLogger, loadConfiguration, runUntilStopped } from '@espalier/runtime'
import { runStepWorker } from '@espalier/step-worker'
import { createStore, requireDatabaseUrl } from '@espalier/store'
import { createProposer } from './create-proposer.js'
import { processPropose } from './process-propose.js'

const config = loadConfiguration()
const logger = createLogger('agent', config)

await runUntilStopped({
  name: 'agent',
  logger,
  async start() {
    const databaseUrl = requireDatabaseUrl(config.databaseUrl)
    const proposer = await createProposer()
    const store = createStore({ databaseUrl })
    const artifacts = createArtifactStore(config.artifacts)
    const queue = createQueue({
      databaseUrl,
      redisUrl: config.redisUrl,
      onError: (err) => logger.warn({ err }, 'queue trouble'),
    })
    const worker = await runStepWorker({
      role: 'agent',
      store,
      queue,
      logger,
      config,
      // one thread does all the work
      concurrency: 1,
      details: { backend: proposer.backend },
      processors: { propose: (lease, step) => processPropose({ store, proposer, artifacts }, lease, step) },
    })
    return {
      async stop() {
        await worker.stop()
        await proposer.close()
        await queue.close()
        await store.close()
      },
    }
  },
})
