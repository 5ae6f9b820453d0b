import { evaluationPageSchema, idParamsSchema, pageQuerySchema, policyPageSchema } from '@espalier/contracts'
import { createPrunableModel } from '@espalier/pruning'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { evaluationResource } from '../../resources/evaluation-resource.js'
import { policyResource } from '../../resources/policy-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

/** What a search has tried and measured. */
export function addListRecords(api: Api, { store }: ApiServices): void {
  api.get(
    '/searches/:id/policies',
    {
      schema: {
        tags: ['searches'],
        summary: 'List the policies of a search with their masks and best perplexity',
        params: idParamsSchema,
        querystring: pageQuerySchema,
        response: { 200: jsonAnswer('A page of policies', policyPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const search = await store.searches.get(teamId, request.params.id)
      const { shape } = await store.models.get(teamId, search.modelId)
      const model = createPrunableModel(shape)
      const page = await store.policies.list(teamId, search.id, request.query)
      return { items: page.items.map((row) => policyResource(row, model)), nextCursor: page.nextCursor }
    },
  )
  api.get(
    '/searches/:id/evaluations',
    {
      schema: {
        tags: ['searches'],
        summary: 'List the real measurements of a search, each with how it was made',
        params: idParamsSchema,
        querystring: pageQuerySchema,
        response: { 200: jsonAnswer('A page of evaluations', evaluationPageSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const teamId = teamOf(request)
      const search = await store.searches.get(teamId, request.params.id)
      const page = await store.evaluations.list(teamId, search.id, request.query)
      return { items: page.items.map(evaluationResource), nextCursor: page.nextCursor }
    },
  )
}
