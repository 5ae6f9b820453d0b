import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { uploadedFileSchema, uploadParamsSchema } from '@espalier/contracts'
import { z } from 'zod'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'
import { receiveFile, tooLarge } from './receive-file.js'

/** A large shard over a slow line. */
const uploadTimeoutMs = 24 * 3_600_000

/** For the document only: the body stays a stream. */
const fileBodySchema = z.unknown().meta({ type: 'string', format: 'binary' })

/** Bodies are files here, whatever their media type: register it in a context of its own. */
export function addUploadFile(api: Api, { uploads, maxUploadBytes }: ApiServices): void {
  api.removeAllContentTypeParsers()
  api.addContentTypeParser('*', (_request: unknown, payload: IncomingMessage, done) => done(null, payload))
  api.put(
    '/uploads/:upload/:file',
    {
      handlerTimeout: uploadTimeoutMs,
      schema: {
        tags: ['models'],
        summary: 'Upload one file of a model folder',
        description:
          'The body is the file. `POST /v1/models` with `{"upload": …}` registers the model once its files are there.',
        consumes: ['application/octet-stream'],
        params: uploadParamsSchema,
        body: fileBodySchema,
        response: { 200: jsonAnswer('The file is stored', uploadedFileSchema), ...problemAnswers },
      },
    },
    async (request) => {
      const { upload, file } = request.params
      if (Number(request.headers['content-length'] ?? 0) > maxUploadBytes) throw tooLarge(maxUploadBytes)
      const folder = join(uploads, teamOf(request), upload)
      const received = await receiveFile(request.raw, folder, file, maxUploadBytes)
      return { upload, file, ...received }
    },
  )
}
