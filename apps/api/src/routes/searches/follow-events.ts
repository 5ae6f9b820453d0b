import { setTimeout as pause } from 'node:timers/promises'
import type { SearchEventResource } from '@espalier/contracts'
import { eventResource } from '../../resources/event-resource.js'
import { isEnded } from '../../resources/is-ended.js'
import type { ApiServices } from '../../services.js'

export interface FollowedSearch {
  readonly teamId: string
  readonly searchId: string
  /** Id of the last event that the client has; 0: none. */
  readonly afterId: number
  /** Ends the stream early: the service stops. */
  readonly signal: AbortSignal
}

/** Events a look; a long search that is followed from its start comes in slices. */
const eventsPerLook = 200

/** What a client waits before it connects again, milliseconds. */
const reconnectMs = 1_000

/**
 * The text of a server-sent event stream: all events after `afterId`, then new ones as they come, to the last event
 * of the search. A client that was cut off goes on with Last-Event-ID and misses nothing.
 */
export async function* followEvents(
  { store, events: { pollMs, heartbeatMs } }: Pick<ApiServices, 'store' | 'events'>,
  { teamId, searchId, afterId, signal }: FollowedSearch,
): AsyncGenerator<string> {
  yield `retry: ${reconnectMs}\n\n`
  let lastId = afterId
  let silentMs = 0
  // state first, events after it: an ended search has written all its events
  let ended = isEnded((await store.searches.get(teamId, searchId)).state)
  while (!signal.aborted) {
    const rows = await store.events.listAfter(teamId, searchId, lastId, eventsPerLook)
    for (const row of rows) {
      const event = eventResource(row)
      yield formatEvent(event)
      if (event.terminal) return
      lastId = row.id
    }
    if (rows.length === eventsPerLook) continue
    if (ended) return
    silentMs = rows.length > 0 ? 0 : silentMs + pollMs
    if (silentMs >= heartbeatMs) {
      yield ': still here\n\n'
      silentMs = 0
      ended = isEnded((await store.searches.get(teamId, searchId)).state)
      if (ended) continue
    }
    await pause(pollMs, undefined, { signal }).catch(() => undefined)
  }
}

function formatEvent(event: SearchEventResource): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}
