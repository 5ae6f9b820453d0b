import { idParamsSchema, searchSchema } from '@espalier/contracts'
import type { SearchRow } from '@espalier/store'
import { z } from 'zod'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { searchResource } from '../../resources/search-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

const noBodySchema = z.strictObject({}).nullish()

/** Cancel, pause and resume; 409 where the state of the search does not allow it. */
export function addControlSearch(api: Api, services: ApiServices): void {
  const { searches } = services.store
  addAction(api, services, 'cancel', 'Stop a search for good; it keeps all it has measured', (...ids) =>
    searches.requestCancel(...ids),
  )
  addAction(api, services, 'pause', 'Start nothing new; what runs is finished', (...ids) =>
    searches.requestPause(...ids),
  )
  addAction(api, services, 'resume', 'Let a paused search go on', (...ids) => searches.requestResume(...ids))
}

function addAction(
  api: Api,
  services: ApiServices,
  action: 'cancel' | 'pause' | 'resume',
  summary: string,
  act: (teamId: string, id: string) => Promise<SearchRow>,
): void {
  api.post(
    `/searches/:id/${action}`,
    {
      schema: {
        tags: ['searches'],
        summary,
        params: idParamsSchema,
        body: noBodySchema,
        response: { 200: jsonAnswer('The search as it is now', searchSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const row = await act(teamId, request.params.id)
      request.log.info({ state: row.state }, `search: ${action}`)
      void services.queue.wake('dispatcher', [row.id])
      return searchResource(row, await services.store.models.get(teamId, row.modelId), new Date())
    },
  )
}
