import { artifactPageSchema, idParamsSchema, pageQuerySchema } from '@espalier/contracts'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { artifactResource } from '../../resources/artifact-resource.js'
import { pageOf } from '../../resources/page-of.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

export function addListArtifacts(api: Api, { store, artifacts }: ApiServices): void {
  api.get(
    '/searches/:id/artifacts',
    {
      schema: {
        tags: ['searches'],
        summary: 'List the pruned models that a search has written',
        params: idParamsSchema,
        querystring: pageQuerySchema,
        response: { 200: jsonAnswer('A page of pruned models', artifactPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const search = await store.searches.get(teamId, request.params.id)
      const page = pageOf(await store.artifacts.list(teamId, search.id), request.query)
      return { items: page.items.map((row) => artifactResource(row, search, artifacts)), nextCursor: page.nextCursor }
    },
  )
}
