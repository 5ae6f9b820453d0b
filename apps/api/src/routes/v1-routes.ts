import type { Api } from '../api.js'
import { addAuthentication } from '../plugins/authentication.js'
import { addRateLimit } from '../plugins/protection.js'
import type { ApiServices } from '../services.js'
import { addCheckPolicy } from './models/check-policy.js'
import { addCreateModel } from './models/create-model.js'
import { addReadModels } from './models/read-models.js'
import { addControlSearch } from './searches/control-search.js'
import { addCreateSearch } from './searches/create-search.js'
import { addGeneratePolicies } from './searches/generate-policies.js'
import { addListArtifacts } from './searches/list-artifacts.js'
import { addListRecords } from './searches/list-records.js'
import { addReadFront } from './searches/read-front.js'
import { addReadSearches } from './searches/read-searches.js'
import { addSendArtifactFile } from './searches/send-artifact-file.js'
import { addStreamEvents } from './searches/stream-events.js'
import { addUploadFile } from './uploads/upload-file.js'
import { addListWorkers } from './workers/list-workers.js'

/** Everything behind an API key. */
export async function addV1Routes(api: Api, services: ApiServices): Promise<void> {
  addAuthentication(api, services.store)
  await addRateLimit(api, services.requestsPerMinute)
  api.addHook('onRoute', (route) => {
    route.schema = { ...route.schema, security: [{ apiKey: [] }] }
  })
  addCreateModel(api, services)
  addReadModels(api, services)
  addCheckPolicy(api, services)
  await api.register(async (uploads: Api) => addUploadFile(uploads, services))
  await api.register(async (searches: Api) => addSearchRoutes(searches, services))
  addListWorkers(api, services)
}

function addSearchRoutes(api: Api, services: ApiServices): void {
  api.addHook('preHandler', async (request, reply) => {
    const { params } = request
    if (typeof params !== 'object' || params === null || !('id' in params)) return
    request.log = request.log.child({ searchId: params.id })
    reply.log = request.log
  })
  addCreateSearch(api, services)
  addReadSearches(api, services)
  addReadFront(api, services)
  addControlSearch(api, services)
  addListRecords(api, services)
  addGeneratePolicies(api, services)
  addStreamEvents(api, services)
  addListArtifacts(api, services)
  addSendArtifactFile(api, services)
}
