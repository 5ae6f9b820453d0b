import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export interface FakeRepository {
  readonly type: 'model' | 'dataset'
  readonly id: string
  /** Files by commit. */
  readonly commits: Readonly<Record<string, Readonly<Record<string, Buffer>>>>
  /** Commit by branch or tag. */
  readonly refs: Readonly<Record<string, string>>
  /** Needs this token. */
  readonly token?: string
  /** Nobody has accepted its terms. */
  readonly isGated?: boolean
}

export interface RecordedRequest {
  readonly server: 'hub' | 'cdn'
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly range: string | null
  readonly authorization: string | null
}

/** What goes wrong with an answer. */
export interface Fault {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  /** The connection is cut after so many bytes of the body. */
  readonly cutAfter?: number
  /** So long after them, so that they have been read for certain. */
  readonly cutDelayMs?: number
  /** Nothing more is sent after so many bytes, and the connection stays open. */
  readonly stallAfter?: number
  /** One byte of the body is another. */
  readonly isCorrupt?: boolean
  /** As some proxies do. */
  readonly ignoresRange?: boolean
  /** The body begins so much later. */
  readonly delayMs?: number
  /** More than there should be. */
  readonly trailing?: number
}

const isLarge = (path: string) => /\.(safetensors|bin|parquet)$/.test(path)

export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const gitHash = (bytes: Buffer) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

/**
 * Two real servers that answer as the hub and its CDN do: the hub lists a repository at a commit, gives small files
 * by way of a relative redirect and large ones by a redirect to the CDN, with the same headers and error codes.
 */
export class FakeHub {
  readonly requests: RecordedRequest[] = []
  /** Asked before every answer. */
  fault: (request: RecordedRequest) => Fault | null = () => null
  /** Most answers of the CDN under way at the same time. */
  mostAtOnce = 0
  #now = 0
  readonly #repositories: readonly FakeRepository[]
  readonly #hub: Server
  readonly #cdn: Server

  private constructor(repositories: readonly FakeRepository[]) {
    this.#repositories = repositories
    this.#hub = createServer((request, response) => void this.#answerHub(request, response))
    this.#cdn = createServer((request, response) => void this.#answerCdn(request, response))
  }

  static async start(...repositories: readonly FakeRepository[]): Promise<FakeHub> {
    const hub = new FakeHub(repositories)
    for (const server of [hub.#hub, hub.#cdn]) await once(server.listen(0, '127.0.0.1'), 'listening')
    return hub
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }

  get endpoint(): string {
    return originOf(this.#hub)
  }

  /** Requests so far; forgets them. */
  take(): RecordedRequest[] {
    return this.requests.splice(0)
  }

  #record(server: 'hub' | 'cdn', request: IncomingMessage): RecordedRequest {
    const recorded = {
      server,
      method: request.method ?? '',
      path: decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname),
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
    }
    this.requests.push(recorded)
    return recorded
  }

  async #answerHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const recorded = this.#record('hub', request)
    const fault = this.fault(recorded) ?? {}
    if (fault.status !== undefined) return end(response, fault.status, fault.headers)
    const pathname = new URL(request.url ?? '/', this.endpoint).pathname.replace(
      /^\/api\/resolve-cache\/(models|datasets)\/([^/]+\/[^/]+)\//,
      '/api/$1/$2/resolve-cache/',
    )
    const [, isApi, kind, id = '', action, revision = '', path] =
      /^\/(api\/)?(models\/|datasets\/)?(.+?)\/(revision|resolve|resolve-cache)\/([^/]+)(?:\/(.+))?$/.exec(pathname) ??
      []
    const type = kind === 'datasets/' ? 'dataset' : 'model'
    const repository = this.#repositories.find((one) => one.type === type && one.id === id)
    const given = recorded.authorization
    if (repository === undefined || (repository.token !== undefined && given === null)) {
      // The hub does not tell strangers which private repositories there are.
      return end(response, given === null ? 401 : 404, { 'x-error-code': 'RepoNotFound' })
    }
    if (repository.token !== undefined && given !== `Bearer ${repository.token}`) return end(response, 401)
    if (repository.isGated && action !== 'revision') return end(response, 403, { 'x-error-code': 'GatedRepo' })
    const name = decodeURIComponent(revision)
    const commit = repository.commits[name] ? name : repository.refs[name]
    const files = commit === undefined ? undefined : repository.commits[commit]
    if (commit === undefined || files === undefined) return end(response, 404, { 'x-error-code': 'RevisionNotFound' })
    if (isApi && action === 'revision') {
      const siblings = Object.keys(files).map((rfilename) => ({ rfilename }))
      const listing = JSON.stringify({ id, sha: commit, siblings, gated: repository.isGated ?? false })
      return end(response, 200, { 'content-type': 'application/json', ...fault.headers }, listing)
    }
    const bytes = files[decodeURIComponent(path ?? '')]
    if (bytes === undefined) return end(response, 404, { 'x-error-code': 'EntryNotFound', 'x-repo-commit': commit })
    const headers = { 'x-repo-commit': commit, 'accept-ranges': 'bytes' }
    if (isLarge(path ?? '')) {
      const location = `${originOf(this.#cdn)}/blobs/${sha256(bytes)}?Signature=secret`
      const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.length) }
      return end(response, 302, { ...headers, ...linked, location, ...fault.headers })
    }
    if (action === 'resolve') {
      const location = `/api/resolve-cache/${type}s/${id}/${commit}/${path}?etag=x`
      return end(response, 307, { ...headers, location, ...fault.headers })
    }
    await sendBody(request, response, bytes, fault, { ...headers, etag: `"${gitHash(bytes)}"`, ...fault.headers })
  }

  async #answerCdn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const recorded = this.#record('cdn', request)
    const fault = this.fault(recorded) ?? {}
    if (fault.status !== undefined) return end(response, fault.status, fault.headers)
    const hash = recorded.path.split('/').at(-1)
    const all = this.#repositories.flatMap(({ commits }) =>
      Object.values(commits).flatMap((files) => Object.values(files)),
    )
    const bytes = all.find((one) => sha256(one) === hash)
    if (bytes === undefined) return end(response, 404)
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#now)
    await sendBody(request, response, bytes, fault, { etag: '"of-the-cdn"', ...fault.headers })
    this.#now--
  }
}

/** Serves one body at any path, by Range and ETag; counts as an ordinary file server. */
export async function startFileServer(
  file: () => { readonly bytes: Buffer; readonly etag: string | null; readonly fault?: Fault },
): Promise<{ readonly url: string; readonly requests: IncomingMessage[]; stop(): Promise<void> }> {
  const requests: IncomingMessage[] = []
  const server = createServer((request, response) => {
    requests.push(request)
    const { bytes, etag, fault = {} } = file()
    if (fault.status !== undefined) return end(response, fault.status, fault.headers)
    if (etag !== null && request.headers['if-none-match'] === etag) return end(response, 304)
    const isOther = request.headers['if-range'] !== undefined && request.headers['if-range'] !== etag
    void sendBody(
      request,
      response,
      bytes,
      isOther ? { ...fault, ignoresRange: true } : fault,
      etag === null ? {} : { etag },
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    url: originOf(server),
    requests,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function end(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): void {
  response.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers }).end(body)
}

async function sendBody(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  fault: Fault,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const range = fault.ignoresRange ? null : /^bytes=(\d+)-$/.exec(request.headers.range ?? '')
  const first = range ? Number(range[1]) : 0
  if (first >= bytes.length && range) return end(response, 416, { 'content-range': `bytes */${bytes.length}` })
  let body = bytes.subarray(first)
  if (fault.isCorrupt) {
    body = Buffer.from(body)
    body.writeUInt8(body.readUInt8(body.length >> 1) ^ 1, body.length >> 1)
  }
  if (fault.trailing) body = Buffer.concat([body, Buffer.alloc(fault.trailing)])
  const partial = range ? { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` } : {}
  response.writeHead(range ? 206 : 200, { 'content-length': String(body.length), ...headers, ...partial })
  if (request.method === 'HEAD') return void response.end()
  if (fault.delayMs) await sleep(fault.delayMs)
  const stopAfter = fault.cutAfter ?? fault.stallAfter
  if (stopAfter === undefined || stopAfter >= body.length) return finish(response, body)
  response.flushHeaders()
  await new Promise((resolve) => response.write(body.subarray(0, stopAfter), resolve))
  if (fault.cutDelayMs) await sleep(fault.cutDelayMs)
  if (fault.cutAfter !== undefined) response.destroy()
}

async function finish(response: ServerResponse, body: Buffer): Promise<void> {
  const closed = once(response, 'close')
  response.end(body)
  await closed
}
