import { join } from 'node:path'
import { type CreateModelBody, createModelBodySchema, type ModelShape, modelSchema } from '@espalier/contracts'
import type { ModelLocation } from '@espalier/store'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { modelResource } from '../../resources/model-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'
import { checkModelFolder } from './check-model-folder.js'
import { checkModelSource } from './check-model-source.js'

export function addCreateModel(api: Api, services: ApiServices): void {
  const { store } = services
  api.post(
    '/models',
    {
      schema: {
        tags: ['models'],
        summary: 'Register a model: a Hugging Face folder on the server, an upload, or a repository of the hub',
        description:
          'Opens a folder and checks configuration, tensors and tokenizer. Of a repository only `config.json` is downloaded now; its weights come with the first search, whose `waitReason` says how far they are. The same folder, and the same source at the same commit, is one model.',
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
      const { location, name, shape } = await checkModel(request.body, teamId, services)
      const known = await store.models.find(teamId, location)
      const row = await store.models.create({
        teamId,
        name: request.body.name ?? known?.name ?? name,
        shape,
        ...location,
      })
      reply.code(known ? 200 : 201).header('location', `/v1/models/${row.id}`)
      return modelResource(row)
    },
  )
}

interface CheckedModel {
  readonly location: ModelLocation
  readonly name: string
  readonly shape: ModelShape
}

async function checkModel(
  { source, ...folder }: CreateModelBody,
  teamId: string,
  { hub, uploads }: ApiServices,
): Promise<CheckedModel> {
  if (source === undefined) {
    const { path, ...model } = await checkModelFolder(folder, join(uploads, teamId))
    return { location: { path }, ...model }
  }
  const { name, shape, ...location } = await checkModelSource(source, hub)
  return { location, name, shape }
}
