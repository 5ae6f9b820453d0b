import { EspalierError, errorCatalogue, findErrorCode, problemTypeSchema } from '@espalier/contracts'
import { z } from 'zod'
import type { Api } from '../../api.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

const paramsSchema = z.strictObject({ type: z.string().max(100) })

/** What the `type` of a problem points to; no key needed. */
export function addProblemTypeRoute(api: Api): void {
  api.get(
    '/problems/:type',
    {
      schema: {
        tags: ['service'],
        summary: 'What a kind of problem means',
        params: paramsSchema,
        response: { 200: jsonAnswer('The kind of problem', problemTypeSchema), ...problemAnswers },
      },
    },
    async ({ params }) => {
      const code = findErrorCode(params.type)
      if (code === undefined) {
        throw new EspalierError('RESOURCE_NOT_FOUND', `There is no problem of the type "${params.type}"`)
      }
      return { code, ...errorCatalogue[code] }
    },
  )
}
