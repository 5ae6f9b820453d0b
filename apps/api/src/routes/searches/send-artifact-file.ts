import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { artifactFileParamsSchema, EspalierError } from '@espalier/contracts'
import type { ArtifactFile } from '@espalier/store'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import type { ApiServices } from '../../services.js'
import { problemAnswers } from '../answers.js'
import { parseByteRange } from './byte-range.js'

/** A large model over a slow line. */
const downloadTimeoutMs = 24 * 3_600_000

const fileAnswer = (description: string) => ({
  description,
  content: { 'application/octet-stream': { schema: z.string().meta({ format: 'binary' }) } },
})

export function addSendArtifactFile(api: Api, { store, artifacts }: ApiServices): void {
  api.get(
    '/searches/:id/artifacts/:artifactId/files/:name',
    {
      handlerTimeout: downloadTimeoutMs,
      schema: {
        tags: ['searches'],
        summary: 'Download a file of a pruned model; its ETag is its SHA-256, ranges are served',
        params: artifactFileParamsSchema,
        response: { 200: fileAnswer('The file'), 206: fileAnswer('The part asked for'), ...problemAnswers },
      },
    },
    async (request, reply) => {
      const { id, artifactId, name } = request.params
      const artifact = await store.artifacts.get(teamOf(request), id, artifactId)
      const file = artifact.files.find((candidate) => candidate.name === name)
      if (!file) throw new EspalierError('RESOURCE_NOT_FOUND', `The pruned model has no file "${name}"`, { name })
      return sendFile(join(artifacts, artifact.directory, file.name), file, request, reply)
    },
  )
}

async function sendFile(
  path: string,
  file: ArtifactFile,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const etag = `"${file.sha256}"`
  const ifRange = request.headers['if-range']
  // stands only in the answer that refuses a range
  reply.header('content-range', `bytes */${file.bytes}`)
  const range =
    ifRange === undefined || ifRange === etag ? parseByteRange(request.headers.range, file.bytes) : undefined
  reply.removeHeader('content-range')
  const handle = await openWhole(path, file)
  reply.headers({ etag, 'accept-ranges': 'bytes', 'cache-control': 'private, no-cache' })
  if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) {
    await handle.close()
    return reply.code(304).send()
  }
  const { start, end } = range ?? { start: 0, end: file.bytes - 1 }
  if (range) reply.code(206).header('content-range', `bytes ${start}-${end}/${file.bytes}`)
  reply.headers({
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(file.name)}`,
  })
  return reply.send(handle.createReadStream({ start, end: Math.max(end, 0) }))
}

/** Opens the file and makes sure that it still has its size: a client is never sent a truncated model. */
async function openWhole(path: string, file: ArtifactFile) {
  const handle = await open(path, 'r').catch(() => undefined)
  if (handle && (await handle.stat()).size === file.bytes) return handle
  await handle?.close()
  throw new EspalierError(
    'RESOURCE_NOT_FOUND',
    `The file "${file.name}" is no longer in the artefact store as it was written`,
    { name: file.name, bytes: file.bytes },
  )
}
