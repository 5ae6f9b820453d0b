import { Readable } from 'node:stream'
import { idParamsSchema } from '@espalier/contracts'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import { isEnded } from '../../resources/is-ended.js'
import type { ApiServices } from '../../services.js'
import { problemAnswers } from '../answers.js'
import { type FollowedSearch, followEvents } from './follow-events.js'

/** A search may take days; a stream is cut after one and the client goes on with Last-Event-ID. */
const longestStreamMs = 24 * 3_600_000

const eventId = z.coerce.number().int().min(0)
const headersSchema = z.object({ 'last-event-id': eventId.optional() })
const querySchema = z.strictObject({
  lastEventId: eventId.optional().meta({ description: 'Like Last-Event-ID, for clients that cannot set headers.' }),
})

export function addStreamEvents(api: Api, services: ApiServices): void {
  const stopping = new AbortController()
  api.addHook('preClose', async () => stopping.abort())
  api.get(
    '/searches/:id/events',
    {
      exposeHeadRoute: false,
      handlerTimeout: longestStreamMs,
      schema: {
        tags: ['searches'],
        summary: 'Follow a search: server-sent events, resumable by Last-Event-ID',
        description:
          'Each event has `id`, `event` (its type) and `data` (a SearchEvent as JSON). A comment line every 15 s keeps the stream open. It ends after the last event of the search; asking again after that is answered by 204.',
        params: idParamsSchema,
        querystring: querySchema,
        headers: headersSchema,
        response: {
          200: { description: 'The stream', content: { 'text/event-stream': { schema: z.string() } } },
          204: z.undefined().meta({ description: 'The search has ended and there are no more events' }),
          ...problemAnswers,
        },
      },
    },
    async (request, reply) => {
      const afterId = request.headers['last-event-id'] ?? request.query.lastEventId ?? 0
      const followed = { teamId: teamOf(request), searchId: request.params.id, afterId, signal: stopping.signal }
      return sendEvents(services, followed, reply)
    },
  )
}

async function sendEvents(services: ApiServices, followed: FollowedSearch, reply: FastifyReply): Promise<FastifyReply> {
  const { teamId, searchId, afterId } = followed
  const { state } = await services.store.searches.get(teamId, searchId)
  if (isEnded(state) && (await services.store.events.listAfter(teamId, searchId, afterId, 1)).length === 0) {
    return reply.code(204).send()
  }
  reply.headers({
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
    // proxies pass it on piece by piece
    'x-accel-buffering': 'no',
    // a connection that stays after its stream would hold up the stop of the service
    connection: 'close',
  })
  return reply.send(Readable.from(followEvents(services, followed), { objectMode: false }))
}
