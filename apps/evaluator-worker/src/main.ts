import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { countCpus, findDevice } from '@espalier/evaluator'
import { createQueue } from '@espalier/queue'
import { createArtifactStore, createLogger, loadConfiguration, runUntilStopped } from '@espalier/runtime'
import { runStepWorker } from '@espalier/step-worker'
import { createStore, requireDatabaseUrl } from '@espalier/store'
import type { EvaluatorContext } from './evaluator-context.js'
import { joinHost, threadsOf } from './host-share.js'
import { processEvaluate } from './process-evaluate.js'
import { processExport } from './process-export.js'
import { processPrepare } from './process-prepare.js'
import { createSearchDataReader } from './search-data.js'
import { createWarmModels } from './warm-model.js'

const config = loadConfiguration()
const logger = createLogger('evaluator', config)

await runUntilStopped({
  name: 'evaluator',
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
    const { threads, deviceId, weights } = config
    const device = await findDevice(config)
    const memoryBytes = smallerOf(device.memoryBytes, config.memoryBytes)
    logger.info({ ...device, memoryBytes }, 'evaluating on this device')
    const { provider, precisions } = device
    const share = await joinHost(join(tmpdir(), `espalier-evaluators-${userInfo().username}`))
    const countThreads = () => threads ?? threadsOf(countCpus(), share.count())
    const { precision } = config
    const models = createWarmModels({ countThreads, provider, deviceId, memoryBytes, precision, weights })
    const context: EvaluatorContext = {
      store,
      artifacts,
      models,
      countThreads,
      provider,
      hub: { ...config.hub, archives: join(config.home, 'archives') },
      searchData: createSearchDataReader(store, artifacts),
    }
    const worker = await runStepWorker({
      role: 'evaluator',
      store,
      queue,
      logger,
      config,
      // one evaluation uses all threads
      concurrency: 1,
      capacity: { provider, memoryBytes, precisions, weights },
      details: { ...device, memoryBytes, weights, threads: countThreads() },
      processors: {
        prepare: (lease, step) => processPrepare(context, lease, step),
        evaluate: (lease, step) => processEvaluate(context, lease, step),
        export: (lease, step) => processExport(context, lease, step),
      },
    })
    return {
      async stop() {
        await worker.stop()
        await models.close()
        await share.leave()
        await queue.close()
        await store.close()
      },
    }
  },
})

/** null: not known. */
function smallerOf(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b)
}
