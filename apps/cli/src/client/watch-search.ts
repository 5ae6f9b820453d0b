import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError, type SearchDetailResource, terminalSearchStates } from '@espalier/contracts'
import type { ApiClient } from './api-client.js'
import { getSearch } from './search-requests.js'

export interface WatchOptions {
  readonly signal: AbortSignal
  readonly onUpdate: (search: SearchDetailResource) => void
  /** The service does not answer; it is asked again. */
  readonly onSilence: (error: EspalierError) => void
}

/** Between two looks when an event says that there is something new. */
const shortestPauseMs = 300
/** Between two looks when nothing says so: the stream may be cut off, and times go on without events. */
const longestPauseMs = 2_000
/** How long a service may be silent (its API is being started again) before the watcher gives up. */
const patienceMs = 60_000

/**
 * Watches a search until it ends. Its events (server-sent, resumed where they were cut off) tell when to look; looking
 * now and then does without them.
 * @throws EspalierError RESOURCE_NOT_FOUND, SERVICE_NOT_RUNNING when the service stays silent
 */
export async function watchSearch(client: ApiClient, id: string, options: WatchOptions): Promise<SearchDetailResource> {
  const finished = new AbortController()
  const signal = AbortSignal.any([options.signal, finished.signal])
  const bell = createBell()
  const listening = listenToEvents(client, id, signal, bell.ring)
  try {
    for (;;) {
      const search = await getPatiently(client, id, options)
      options.onUpdate(search)
      if (terminalSearchStates.includes(search.state)) return search
      await sleep(shortestPauseMs, undefined, { signal })
      await Promise.race([bell.rung(), sleep(longestPauseMs - shortestPauseMs, undefined, { signal })])
    }
  } finally {
    finished.abort()
    await listening
  }
}

/** Rings kept until somebody waits: an event between two looks is not missed. */
function createBell() {
  let hasRung = false
  let wake = () => {}
  return {
    ring() {
      hasRung = true
      wake()
    },
    async rung() {
      if (!hasRung) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      hasRung = false
    },
  }
}

async function getPatiently(
  client: ApiClient,
  id: string,
  { signal, onSilence }: WatchOptions,
): Promise<SearchDetailResource> {
  const giveUpMs = performance.now() + patienceMs
  for (;;) {
    try {
      return await getSearch(client, id, signal)
    } catch (error) {
      const isPassing = error instanceof EspalierError && (error.code === 'SERVICE_NOT_RUNNING' || error.retryable)
      if (!isPassing || performance.now() > giveUpMs) throw error
      onSilence(error)
      await sleep(longestPauseMs, undefined, { signal })
    }
  }
}

/** Rings for each event until the search ends or the signal aborts; connects again when cut off. */
async function listenToEvents(client: ApiClient, id: string, signal: AbortSignal, ring: () => void): Promise<void> {
  let lastId = ''
  while (!signal.aborted) {
    try {
      const headers = { accept: 'text/event-stream', ...(lastId === '' ? {} : { 'last-event-id': lastId }) }
      const response = await client.open(`/v1/searches/${encodeURIComponent(id)}/events`, headers, signal)
      // No content: the search has ended.
      if (response.status === 204 || response.body === null) return
      for await (const eventId of readEventIds(response.body)) {
        lastId = eventId
        ring()
      }
    } catch {
      // Looking now and then goes on meanwhile, and reports what is wrong.
    }
    await sleep(longestPauseMs, undefined, { signal }).catch(() => undefined)
  }
}

/** Ids of the events of a stream, as they come (the `id:` lines of text/event-stream). */
async function* readEventIds(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = ''
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const id = /^id: ?(.*)$/.exec(line)?.[1]
      if (id !== undefined) yield id
    }
  }
}
