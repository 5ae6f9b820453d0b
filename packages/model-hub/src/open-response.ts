import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { EspalierError } from '@espalier/contracts'
import { errorCodeOf, messageOf } from './error-code.js'
import type { HubSettings } from './model-hub-options.js'
import { withoutSecrets } from './parse-model-source.js'
import { TransientFailure } from './transient-failure.js'

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as bearer to the origin of `url`, and to no other. */
  readonly token: string | null
  /** `same-origin`: the redirect to another origin is the answer. */
  readonly follow: 'all' | 'same-origin'
}

/** An answer, its connection watched: call `close` when done with it. */
export interface OpenResponse {
  readonly status: number
  /** Headers of the last answer; what only an earlier answer of the first origin had is kept, too. */
  readonly headers: Headers
  /** Whether it comes from another origin than was asked. */
  readonly isElsewhere: boolean
  readonly isRedirect: boolean
  /** Chunks of the body. @throws TransientFailure when the connection is cut or stalls */
  chunks(): AsyncGenerator<Uint8Array>
  close(): void
}

const maxRedirects = 10
const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/**
 * Sends one request and follows its redirects: to http and https only, never from https to http, the token never
 * to another origin. A connection on which nothing arrives for `stallMs` is cut.
 *
 * @throws TransientFailure when there is no answer; EspalierError MODEL_DOWNLOAD_FAILED for a redirect that is refused
 */
export async function openResponse(
  request: HttpRequest,
  settings: Pick<HubSettings, 'stallMs' | 'signal'>,
): Promise<OpenResponse> {
  const watch = createStallWatch(settings)
  const { origin } = new URL(request.url)
  const kept = new Headers()
  try {
    for (let url = request.url, hops = 0; ; hops++) {
      const isElsewhere = new URL(url).origin !== origin
      const response = await sendOnce(url, request, isElsewhere ? null : request.token, watch)
      const status = response.statusCode ?? 0
      const headers = readHeaders(response)
      if (!isElsewhere) for (const [name, value] of headers) kept.set(name, value)
      const location = redirectStatuses.has(status) ? headers.get('location') : null
      const next = location === null ? null : checkRedirect(url, location, hops)
      if (next === null || (request.follow === 'same-origin' && new URL(next).origin !== origin)) {
        return {
          ...{ status, isElsewhere },
          headers: mergeHeaders(headers, kept),
          isRedirect: next !== null,
          chunks: () => readChunks(response, watch, url),
          close: () => watch.stop(),
        }
      }
      // Its body says nothing; whatever of it is still to come ends with the watch.
      response.resume()
      url = next
    }
  } catch (error) {
    watch.stop()
    throw error
  }
}

/** The last answer's headers, and what the first origin told of the file (`x-` headers) on the way. */
function mergeHeaders(last: Headers, kept: Headers): Headers {
  const merged = new Headers(last)
  for (const [name, value] of kept) if (name.startsWith('x-')) merged.set(name, value)
  return merged
}

function readHeaders(response: IncomingMessage): Headers {
  const headers = new Headers()
  for (const [name, values] of Object.entries(response.headersDistinct)) {
    for (const value of values ?? []) headers.append(name, value)
  }
  return headers
}

async function sendOnce(
  url: string,
  { method, headers }: HttpRequest,
  token: string | null,
  watch: StallWatch,
): Promise<IncomingMessage> {
  const send = url.startsWith('https:') ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const sent = send(url, {
      method,
      signal: watch.signal,
      headers: {
        // Compressed on the way, sizes and ranges would not be those of the file.
        'accept-encoding': 'identity',
        'user-agent': 'espalier',
        ...headers,
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
    })
    sent.on('response', (response) => {
      watch.touch()
      // Who reads the body is told by its iteration; who does not, must not be hit by it.
      response.on('error', () => undefined)
      resolve(response)
    })
    sent.on('error', (error) => reject(describeFailure(error, watch.signal, url)))
    sent.end()
  })
}

function checkRedirect(from: string, location: string, hops: number): string {
  const shown = withoutSecrets(from)
  const refuse = (why: string) =>
    new EspalierError('MODEL_DOWNLOAD_FAILED', `${shown}: its redirect is refused, ${why}`, { source: shown })
  if (!URL.canParse(location, from)) throw refuse('it leads to no valid address')
  const next = new URL(location, from)
  if (next.protocol !== 'https:' && next.protocol !== 'http:') throw refuse(`it leads to ${next.protocol}`)
  if (next.protocol === 'http:' && from.startsWith('https:')) throw refuse('it leads from https to http')
  if (hops >= maxRedirects) throw refuse(`it is number ${hops + 1} in a row, at most ${maxRedirects} are followed`)
  return next.href
}

interface StallWatch {
  readonly signal: AbortSignal
  touch(): void
  stop(): void
}

function createStallWatch({ stallMs, signal }: Pick<HubSettings, 'stallMs' | 'signal'>): StallWatch {
  const controller = new AbortController()
  const stall = () => controller.abort(new TransientFailure(`nothing arrived for ${stallMs} ms`))
  let timer = setTimeout(stall, stallMs)
  const abort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  return {
    signal: controller.signal,
    touch() {
      clearTimeout(timer)
      timer = setTimeout(stall, stallMs)
    },
    stop() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      // Frees the connection when the body was not read to its end.
      controller.abort(new TransientFailure('closed'))
    },
  }
}

async function* readChunks(response: IncomingMessage, watch: StallWatch, url: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) {
      watch.touch()
      yield chunk
    }
  } catch (error) {
    throw describeFailure(error, watch.signal, url)
  }
}

function describeFailure(error: unknown, signal: AbortSignal, url: string): unknown {
  if (signal.aborted) return signal.reason
  const said = [errorCodeOf(error), messageOf(error)].filter(Boolean).join(': ')
  return new TransientFailure(`no answer from ${new URL(url).origin}, or it was cut (${said})`, null, { cause: error })
}

/**
 * The whole body as text.
 *
 * @throws EspalierError MODEL_DOWNLOAD_FAILED when it is longer than `maxBytes`; TransientFailure
 */
export async function readText(response: OpenResponse, maxBytes: number, what: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.chunks()) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) {
      throw new EspalierError('MODEL_DOWNLOAD_FAILED', `${what}: expected at most ${maxBytes} bytes, found more`, {
        source: what,
        allowed: maxBytes,
      })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
