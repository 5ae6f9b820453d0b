import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { countCpus } from '@espalier/evaluator'
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
    const queue = await createQueue({ databaseUrl, redisUrl: config.redisUrl })
    const artifacts = createArtifactStore(config.artifacts)
    const { threads, provider, weights } = config
    const share = await joinHost(join(tmpdir(), `espalier-evaluators-${userInfo().username}`))
    const countThreads = () => threads ?? threadsOf(countCpus(), share.count())
    const models = createWarmModels({ countThreads, provider, weights })
    const context: EvaluatorContext = {
      store,
      artifacts,
      models,
      countThreads,
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
      details: { provider, threads: countThreads() },
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
