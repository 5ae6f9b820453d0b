import { idParamsSchema, modelPageSchema, modelSchema, pageQuerySchema } from '@espalier/contracts'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { modelResource } from '../../resources/model-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

export function addReadModels(api: Api, { store }: ApiServices): void {
  api.get(
    '/models',
    {
      schema: {
        tags: ['models'],
        summary: 'List models, oldest first',
        querystring: pageQuerySchema,
        response: { 200: jsonAnswer('A page of models', modelPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const page = await store.models.list(teamOf(request), request.query)
      return { items: page.items.map(modelResource), nextCursor: page.nextCursor }
    },
  )
  api.get(
    '/models/:id',
    {
      schema: {
        tags: ['models'],
        summary: 'Look at one model',
        params: idParamsSchema,
        response: { 200: jsonAnswer('The model', modelSchema), ...problemAnswers },
      },
    },
    async (request) => modelResource(await store.models.get(teamOf(request), request.params.id)),
  )
}
