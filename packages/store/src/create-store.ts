import { EspalierError } from '@espalier/contracts'
import { createApiKeyStore } from './api-keys.js'
import { createArtifactStore } from './artifacts.js'
import { createCalibrationStore } from './calibrations.js'
import { type DatabaseOptions, openDatabase } from './database.js'
import { createEvaluationStore } from './evaluations.js'
import { createEventStore } from './events.js'
import { createGeneratorStore } from './generators.js'
import { createModelStore } from './models.js'
import { createPolicyStore } from './policies.js'
import { createPredictorStore } from './predictors.js'
import { createSearchStore } from './searches.js'
import { createStepStore } from './steps.js'
import type { Store } from './store.js'
import { createTeamStore } from './teams.js'
import { createWorkerStore } from './workers.js'

/**
 * Opens the store over a database whose migrations are applied. Connects at the first call; a lost connection is
 * replaced by the next call, and the call that lost it throws an error that `isConnectionError` knows.
 */
export function createStore(options: DatabaseOptions): Store {
  const database = openDatabase(options)
  return {
    teams: createTeamStore(database),
    apiKeys: createApiKeyStore(database),
    models: createModelStore(database),
    searches: createSearchStore(database),
    steps: createStepStore(database),
    policies: createPolicyStore(database),
    evaluations: createEvaluationStore(database),
    predictors: createPredictorStore(database),
    generators: createGeneratorStore(database),
    artifacts: createArtifactStore(database),
    calibrations: createCalibrationStore(database),
    events: createEventStore(database),
    workers: createWorkerStore(database),
    async ping() {
      try {
        await database.client.$queryRaw`SELECT 1`
      } catch (cause) {
        throw new EspalierError('SERVICE_UNAVAILABLE', 'The database does not answer.', {}, { cause })
      }
    },
    close: () => database.close(),
  }
}
