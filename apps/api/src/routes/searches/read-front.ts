import { idParamsSchema, searchFrontSchema } from '@espalier/contracts'
import { searchFront } from '@espalier/search'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

/** What a search has measured that nothing else beats in both perplexity and size or time. */
export function addReadFront(api: Api, { store }: ApiServices): void {
  api.get(
    '/searches/:id/front',
    {
      schema: {
        tags: ['searches'],
        summary: 'Look at the Pareto front of a search: perplexity against size and measured speed',
        params: idParamsSchema,
        response: {
          200: jsonAnswer('The front of what has been measured so far', searchFrontSchema),
          ...problemAnswers,
        },
      },
    },
    async (request) => {
      const search = await store.searches.get(teamOf(request), request.params.id)
      return searchFront(await store.searches.loadRecord(search.id))
    },
  )
}
