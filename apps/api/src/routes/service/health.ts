import { EspalierError, healthSchema, readinessSchema } from '@espalier/contracts'
import type { Store } from '@espalier/store'
import type { Api } from '../../api.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

/** For supervisors and load balancers; no key needed. */
export function addHealthRoutes(api: Api, { store, version }: ApiServices): void {
  api.get(
    '/healthz',
    {
      schema: {
        tags: ['service'],
        summary: 'Whether the process is alive',
        response: { 200: jsonAnswer('It is', healthSchema), ...problemAnswers },
      },
    },
    async () => ({ status: 'ok', version }),
  )
  api.get(
    '/readyz',
    {
      schema: {
        tags: ['service'],
        summary: 'Whether requests can be served: the database answers and has its tables',
        response: { 200: jsonAnswer('They can', readinessSchema), ...problemAnswers },
      },
    },
    async () => {
      await store.ping()
      await requireTables(store)
      return { status: 'ready', database: 'reachable', migrations: 'applied' }
    },
  )
}

/** Any read of a table will do: without migrations there is none. */
async function requireTables(store: Store): Promise<void> {
  await store.apiKeys.find('').catch((cause: unknown) => {
    throw new EspalierError('SERVICE_UNAVAILABLE', 'The database answers and its tables cannot be read', {}, { cause })
  })
}
