import { createQueue } from '@espalier/queue'
import { createArtifactStore, createLogger, loadConfiguration, runUntilStopped } from '@espalier/runtime'
import { runStepWorker } from '@espalier/step-worker'
import { createStore, requireDatabaseUrl } from '@espalier/store'
import { processScore } from './process-score.js'
import { processTrain } from './process-train.js'

const config = loadConfiguration()
const logger = createLogger('predictor', config)

await runUntilStopped({
  name: 'predictor',
  logger,
  async start() {
    const databaseUrl = requireDatabaseUrl(config.databaseUrl)
    const store = createStore({ databaseUrl })
    const queue = createQueue({
      databaseUrl,
      redisUrl: config.redisUrl,
      onError: (err) => logger.warn({ err }, 'queue trouble'),
    })
    const artifacts = createArtifactStore(config.artifacts)
    const worker = await runStepWorker({
      role: 'predictor',
      store,
      queue,
      logger,
      config,
      concurrency: 1,
      details: { training: 'curve model with residual trees', scoring: 'onnxruntime cpu' },
      processors: {
        train: (lease, step) => processTrain({ store, artifacts }, lease, step),
        score: (lease) => processScore({ store }, lease),
      },
    })
    return {
      async stop() {
        await worker.stop()
        await queue.close()
        await store.close()
      },
    }
  },
})
