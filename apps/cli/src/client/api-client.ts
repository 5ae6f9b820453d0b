import { EspalierError, type Problem, problemSchema } from '@espalier/contracts'
import type { z } from 'zod'

/** Speaks HTTP with one service, in one team's name. */
export interface ApiClient {
  readonly url: string
  isAlive(): Promise<boolean>
  /** @throws EspalierError what the problem+json answer says, or SERVICE_NOT_RUNNING when there was no answer */
  get<T extends z.ZodType>(path: string, answer: T, signal?: AbortSignal): Promise<z.output<T>>
  post<T extends z.ZodType>(path: string, body: unknown, answer: T, signal?: AbortSignal): Promise<z.output<T>>
  /** The answer as it comes: files and event streams. Same errors as `get`. */
  open(path: string, headers?: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Response>
}

interface ApiRequest {
  readonly method: 'GET' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal | undefined
}

const healthWithinMs = 3_000

export function createApiClient({ url, key }: { url: string; key: string }): ApiClient {
  const ask = async (path: string, { signal, headers, ...request }: ApiRequest) => {
    const response = await fetch(new URL(path, url), {
      ...request,
      headers: { authorization: `Bearer ${key}`, ...headers },
      ...(signal ? { signal } : {}),
    }).catch((cause: unknown) => {
      if (signal?.aborted) throw cause
      throw new EspalierError('SERVICE_NOT_RUNNING', `No answer from ${url}: ${reasonOf(cause)}`, { url }, { cause })
    })
    if (!response.ok) throw await errorOf(response)
    return response
  }
  return {
    url,
    isAlive: () =>
      ask('/healthz', { method: 'GET', signal: AbortSignal.timeout(healthWithinMs) }).then(
        () => true,
        () => false,
      ),
    async get(path, answer, signal) {
      return parseAnswer(await ask(path, { method: 'GET', signal }), answer)
    },
    async post(path, body, answer, signal) {
      const headers = { 'content-type': 'application/json' }
      return parseAnswer(await ask(path, { method: 'POST', headers, body: JSON.stringify(body), signal }), answer)
    },
    open: (path, headers = {}, signal) => ask(path, { method: 'GET', headers, signal }),
  }
}

async function parseAnswer<T extends z.ZodType>(response: Response, schema: T): Promise<z.output<T>> {
  const parsed = schema.safeParse(await response.json().catch(() => undefined))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new EspalierError(
    'INTERNAL',
    `The answer of ${response.url} is not as expected (another version?): ${issue?.path.join('.')}: ${issue?.message}`,
  )
}

async function errorOf(response: Response): Promise<EspalierError> {
  const parsed = problemSchema.safeParse(await response.json().catch(() => undefined))
  if (parsed.success) return new EspalierError(parsed.data.code, describeProblem(parsed.data), parsed.data.details)
  return new EspalierError('INTERNAL', `${response.url} answered ${response.status} ${response.statusText}`)
}

function describeProblem({ detail, errors = [] }: Problem): string {
  return [detail, ...errors.map((error) => `${error.in} ${error.path}: ${error.message}`)].join('\n')
}

/** `fetch` says only "fetch failed"; its cause says why. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}
