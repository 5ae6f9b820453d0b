import { join } from 'node:path'
import { createModelBodySchema, modelSchema } from '@espalier/contracts'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { modelResource } from '../../resources/model-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'
import { checkModelFolder } from './check-model-folder.js'

export function addCreateModel(api: Api, { store, uploads }: ApiServices): void {
  api.post(
    '/models',
    {
      schema: {
        tags: ['models'],
        summary: 'Register a model: a Hugging Face folder on the server, or an upload',
        description: 'Opens the folder and checks configuration, tensors and tokenizer. The same folder is one model.',
        body: createModelBodySchema,
        response: {
          200: jsonAnswer('The model was registered before', modelSchema),
          201: jsonAnswer('The model is registered', modelSchema),
          ...problemAnswers,
        },
      },
    },
    async (request, reply) => {
      const teamId = teamOf(request)
      const { path, name, shape } = await checkModelFolder(request.body, join(uploads, teamId))
      const known = await store.models.find(teamId, path)
      const row = await store.models.create({
        teamId,
        name: request.body.name ?? known?.name ?? name,
        path,
        shape,
      })
      reply.code(known ? 200 : 201).header('location', `/v1/models/${row.id}`)
      return modelResource(row)
    },
  )
}
