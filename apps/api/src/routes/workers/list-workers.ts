import { pageQuerySchema, workerPageSchema } from '@espalier/contracts'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { pageOf } from '../../resources/page-of.js'
import { workerResource } from '../../resources/worker-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

export function addListWorkers(api: Api, { store }: ApiServices): void {
  api.get(
    '/workers',
    {
      schema: {
        tags: ['workers'],
        summary: 'List the processes that work: shared ones and those of the team',
        querystring: pageQuerySchema,
        response: { 200: jsonAnswer('A page of workers', workerPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const workers = await store.workers.list()
      const visible = workers.filter((worker) => worker.teamId === null || worker.teamId === teamId)
      const page = pageOf(visible, request.query)
      return { items: page.items.map(workerResource), nextCursor: page.nextCursor }
    },
  )
}
