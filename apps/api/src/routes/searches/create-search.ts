import { join } from 'node:path'
import {
  createSearchBodySchema,
  type ParsedCreateSearchBody,
  type RequestError,
  type SearchSettings,
  type Split,
  searchSchema,
  splits,
} from '@espalier/contracts'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { RequestRejected } from '../../problems/request-rejected.js'
import { searchResource } from '../../resources/search-resource.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'
import { checkSearch } from './check-search.js'
import { checkTexts } from './check-texts.js'
import { pinTexts } from './pin-texts.js'

export function addCreateSearch(api: Api, services: ApiServices): void {
  const { store } = services
  api.post(
    '/searches',
    {
      schema: {
        tags: ['searches'],
        summary: 'Submit a search',
        description:
          'Checks all that can be checked at once and answers; the search then runs by itself. What is left out has the defaults shown; texts left out are `texts/{calibration,validation,test}.txt` in the folder of the model; a model that is downloaded has none, and all three must be given. A text is a path on the server: `FILE`, `FILE.jsonl#FIELD`, `FILE.parquet#COLUMN` or `FOLDER::SPLIT`; or a file of a data set of the hub, `hf://datasets/org/name@revision/FILE.parquet#COLUMN`, which is pinned to its commit and downloaded by the evaluator.',
        body: createSearchBodySchema,
        response: { 202: jsonAnswer('The search is accepted', searchSchema), ...problemAnswers },
      },
    },
    async (request, reply) => {
      const teamId = teamOf(request)
      const model = await store.models.get(teamId, request.body.model)
      const given = settingsOf(request.body, model.path)
      checkSearch(given, model.shape)
      await checkTexts(given, model.path)
      const settings = { ...given, texts: await pinTexts(given.texts, services.hub) }
      const row = await store.searches.create({ teamId, modelId: model.id, settings, name: request.body.name })
      request.log.info({ searchId: row.id, modelId: model.id, budget: settings.budget }, 'search accepted')
      void services.queue.wake('dispatcher', [row.id])
      reply.code(202).header('location', `/v1/searches/${row.id}`)
      return searchResource(row, model, new Date())
    },
  )
}

/** @throws REQUEST_INVALID for texts that are left out of a search of a model without a folder */
function settingsOf(body: ParsedCreateSearchBody, modelDirectory: string | null): SearchSettings {
  const { model: _model, name: _name, texts, ...settings } = body
  const missing = splits.filter((split) => texts[split] === undefined)
  if (modelDirectory === null && missing.length > 0) throw new RequestRejected(missing.map(refuseMissing))
  const text = (name: string) => join(modelDirectory ?? '', 'texts', `${name}.txt`)
  return {
    ...settings,
    texts: {
      calibration: texts.calibration ?? text('calibration'),
      validation: texts.validation ?? text('validation'),
      test: texts.test ?? text('test'),
    },
  }
}

function refuseMissing(split: Split): RequestError {
  return { in: 'body', path: `/texts/${split}`, message: 'must be given: a model that is downloaded has no texts' }
}
