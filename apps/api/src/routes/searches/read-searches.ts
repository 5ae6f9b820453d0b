import { idParamsSchema, searchDetailSchema, searchListQuerySchema, searchPageSchema } from '@espalier/contracts'
import type { ModelRow } from '@espalier/store'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { searchResource } from '../../resources/search-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

export function addReadSearches(api: Api, { store }: ApiServices): void {
  api.get(
    '/searches',
    {
      schema: {
        tags: ['searches'],
        summary: 'List searches',
        querystring: searchListQuerySchema,
        response: { 200: jsonAnswer('A page of searches', searchPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const { order, ...slice } = request.query
      const page = await store.searches.list(teamId, { ...slice, newestFirst: order === 'newest' })
      const ids = [...new Set(page.items.map(({ modelId }) => modelId))]
      const models = new Map<string, ModelRow>()
      for (const id of ids) models.set(id, await store.models.get(teamId, id))
      const now = new Date()
      const items = page.items.flatMap((row) => {
        const model = models.get(row.modelId)
        return model ? [searchResource(row, model, now)] : []
      })
      return { items, nextCursor: page.nextCursor }
    },
  )
  api.get(
    '/searches/:id',
    {
      schema: {
        tags: ['searches'],
        summary: 'Look at one search: state, why it waits, progress, best so far, result',
        params: idParamsSchema,
        response: { 200: jsonAnswer('The search', searchDetailSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const row = await store.searches.get(teamId, request.params.id)
      const model = await store.models.get(teamId, row.modelId)
      const steps = await store.searches.countSteps(teamId, row.id)
      return { ...searchResource(row, model, new Date()), steps }
    },
  )
}
