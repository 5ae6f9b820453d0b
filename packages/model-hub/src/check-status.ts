import { EspalierError } from '@espalier/contracts'
import type { OpenResponse } from './open-response.js'
import type { HubRepository } from './parse-model-source.js'
import { parseRetryAfterMs, TransientFailure } from './transient-failure.js'

/** Answers that say "later": timeouts, limits, servers in trouble. */
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** Where an answer comes from, to say so. */
export interface RequestOrigin {
  /** For people: the repository and file, or the address. */
  readonly what: string
  /** null: an archive somewhere. */
  readonly repository: HubRepository | null
  readonly endpoint: string
  readonly hasToken: boolean
}

/**
 * Passes answers with a body and 304; turns every other into what it means.
 *
 * @throws TransientFailure, EspalierError MODEL_NOT_FOUND (TEXT_NOT_FOUND for data sets), MODEL_ACCESS_DENIED,
 *   MODEL_DOWNLOAD_FAILED
 */
export function checkStatus(response: OpenResponse, origin: RequestOrigin): void {
  const { status, headers } = response
  if ((status >= 200 && status < 300) || status === 304 || response.isRedirect) return
  if (transientStatuses.has(status)) {
    throw new TransientFailure(`the server answers ${status}`, parseRetryAfterMs(headers, Date.now()))
  }
  // The signed address of a CDN has run out: the hub gives a new one.
  if (response.isElsewhere && origin.repository !== null) {
    throw new TransientFailure(`the server that the hub points to answers ${status}`)
  }
  const details = { source: origin.what, endpoint: origin.endpoint, status }
  if (status === 401 || status === 403) {
    throw new EspalierError('MODEL_ACCESS_DENIED', `${origin.what}: ${explainDenial(headers, origin, status)}`, details)
  }
  if (status === 404 || status === 410) {
    const code = origin.repository?.type === 'dataset' ? 'TEXT_NOT_FOUND' : 'MODEL_NOT_FOUND'
    throw new EspalierError(code, `${origin.what}: ${explainAbsence(headers, origin)}`, details)
  }
  const said = headers.get('x-error-message')
  throw new EspalierError(
    'MODEL_DOWNLOAD_FAILED',
    `${origin.what}: ${origin.endpoint} answers ${status}${said === null ? '' : ` (${said.slice(0, 200)})`}`,
    details,
  )
}

function explainDenial(headers: Headers, origin: RequestOrigin, status: number): string {
  const { endpoint, repository } = origin
  if (repository === null) return `${endpoint} refuses access (${status}); no password or token is sent to archives`
  const page = `${endpoint}/${repository.type === 'dataset' ? 'datasets/' : ''}${repository.id}`
  if (headers.get('x-error-code') === 'GatedRepo') {
    return `it is gated: accept its terms at ${page}, then ${origin.hasToken ? 'try again with a token of that account' : 'set HF_TOKEN to a token of that account'}`
  }
  if (!origin.hasToken) return `${endpoint} knows no such public repository; if it is private or gated, set HF_TOKEN`
  return `${endpoint} refuses the token given (${status}): check that HF_TOKEN is valid and may read ${page}`
}

function explainAbsence(headers: Headers, origin: RequestOrigin): string {
  const { endpoint, repository, hasToken } = origin
  if (repository === null) return 'there is nothing at this address'
  switch (headers.get('x-error-code')) {
    case 'RevisionNotFound':
      return `${repository.id} has no revision "${repository.revision}": give a branch, tag or commit of it`
    case 'EntryNotFound':
      return `revision "${repository.revision}" has no such file`
    default:
      return `${endpoint} has no such repository${hasToken ? '' : '; if it is private, set HF_TOKEN'}: check the name`
  }
}
