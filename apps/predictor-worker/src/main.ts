import { createQueue } from '@espalier/queue'
import { createArtifactStore, createLogger, loadConfiguration, runUntilStopped } from '@espalier/runtime'
import { runStepWorker } from '@espalier/step-worker'
import { createStore, requireDatabaseUrl } from '@espalier/store'
import { KeptPredictor } from './kept-predictor.js'
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
    const kept = new KeptPredictor()
    const worker = await runStepWorker({
      role: 'predictor',
      store,
      queue,
      logger,
      config,
      concurrency: 1,
      details: { training: 'curve model with residual process', scoring: 'onnxruntime cpu' },
      processors: {
        train: (lease, step) => processTrain({ store, artifacts, kept }, lease, step),
        score: (lease) => processScore({ store, kept }, lease),
      },
    })
    return {
      async stop() {
        await worker.stop()
        await kept.release()
        await queue.close()
        await store.close()
      },
    }
  },
})
