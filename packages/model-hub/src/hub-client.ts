import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { z } from 'zod'
import { checkStatus, type RequestOrigin } from './check-status.js'
import type { HubSettings } from './model-hub-options.js'
import { type OpenResponse, openResponse, readText } from './open-response.js'
import type { HubRepository } from './parse-model-source.js'
import { retryTransient } from './transient-failure.js'

/** What the hub promises of a file's bytes. */
export interface Checksum {
  /** `git`: SHA-1 of a git blob, for small files; `sha256`: of the bytes, for those in large file storage. */
  readonly kind: 'git' | 'sha256'
  readonly hex: string
}

export interface HubFile {
  readonly path: string
  /** Address that can only ever give these bytes. */
  readonly url: string
  readonly commit: string
  readonly checksum: Checksum
  /** null: the hub does not say. */
  readonly bytes: number | null
}

/** A repository at one commit. */
export interface RepositoryListing {
  readonly commit: string
  /** Paths of its files. */
  readonly paths: readonly string[]
}

const commitPattern = /^[0-9a-f]{40}$/
/** A listing of a hundred thousand files. */
const maxListingBytes = 32 * 2 ** 20

const listingSchema = z.looseObject({
  sha: z.string().regex(commitPattern),
  siblings: z.array(z.looseObject({ rfilename: z.string() })),
})

/** Requests about one repository. */
export class HubClient {
  readonly repository: HubRepository
  readonly token: string | null
  readonly #settings: HubSettings

  private constructor(repository: HubRepository, token: string | null, settings: HubSettings) {
    this.repository = repository
    this.token = token
    this.#settings = settings
  }

  /** Takes the token given, else the one that the hub's own login has stored. */
  static async create(repository: HubRepository, settings: HubSettings): Promise<HubClient> {
    const stored = settings.token === null ? await readFile(join(settings.home, 'token'), 'utf8').catch(() => '') : ''
    return new HubClient(repository, settings.token ?? (stored.trim() || null), settings)
  }

  /** For people: the repository, or a file of it. */
  describe(path?: string): string {
    const { type, id, revision } = this.repository
    const prefix = type === 'dataset' ? 'hf://datasets/' : 'hf://'
    return `${prefix}${id}@${revision}${path === undefined ? '' : `/${path}`}`
  }

  origin(path?: string): RequestOrigin {
    return {
      what: this.describe(path),
      repository: this.repository,
      endpoint: this.#settings.endpoint,
      hasToken: this.token !== null,
    }
  }

  /**
   * Pins the revision to a commit and lists its files.
   * @throws EspalierError MODEL_NOT_FOUND, MODEL_ACCESS_DENIED, MODEL_DOWNLOAD_FAILED
   */
  async list(): Promise<RepositoryListing> {
    const { type, id, revision } = this.repository
    const url = `${this.#settings.endpoint}/api/${type}s/${id}/revision/${encodeURIComponent(revision)}`
    const text = await this.#request('GET', url, this.origin(), (response) =>
      readText(response, maxListingBytes, this.describe()),
    )
    const parsed = listingSchema.safeParse(parseJson(text))
    if (!parsed.success) throw this.#refuseAnswer(url, 'JSON with sha (a commit) and siblings (its files)')
    return { commit: parsed.data.sha, paths: parsed.data.siblings.map(({ rfilename }) => rfilename) }
  }

  /**
   * Checksum, size and commit of a file, without its contents.
   * @throws EspalierError as `list`
   */
  async describeFile(path: string, revision: string): Promise<HubFile> {
    const url = this.#fileUrl(path, revision)
    return this.#request('HEAD', url, this.origin(path), async ({ headers, isRedirect }) => {
      const commit = headers.get('x-repo-commit') ?? ''
      const checksum = parseChecksum(headers.get('x-linked-etag') ?? headers.get('etag'))
      if (!commitPattern.test(commit)) throw this.#refuseAnswer(url, 'a header X-Repo-Commit with a commit')
      if (checksum === null) throw this.#refuseAnswer(url, 'a header X-Linked-Etag or ETag with a checksum')
      const size = headers.get('x-linked-size') ?? (isRedirect ? null : headers.get('content-length'))
      const bytes = size !== null && /^\d{1,15}$/.test(size) ? Number(size) : null
      return { path, url: this.#fileUrl(path, commit), commit, checksum, bytes }
    })
  }

  #fileUrl(path: string, revision: string): string {
    const { type, id } = this.repository
    const folder = type === 'dataset' ? `datasets/${id}` : id
    const file = path.split('/').map(encodeURIComponent).join('/')
    return `${this.#settings.endpoint}/${folder}/resolve/${encodeURIComponent(revision)}/${file}`
  }

  async #request<T>(
    method: 'GET' | 'HEAD',
    url: string,
    origin: RequestOrigin,
    read: (response: OpenResponse) => Promise<T>,
  ): Promise<T> {
    const follow = method === 'HEAD' ? 'same-origin' : 'all'
    return retryTransient(
      async () => {
        const response = await openResponse({ method, url, token: this.token, follow }, this.#settings)
        try {
          checkStatus(response, origin)
          return await read(response)
        } finally {
          response.close()
        }
      },
      origin.what,
      this.#settings,
    )
  }

  #refuseAnswer(url: string, expected: string): EspalierError {
    return new EspalierError(
      'MODEL_DOWNLOAD_FAILED',
      `${url}: expected ${expected}, found none: ${this.#settings.endpoint} does not behave like the hub. ` +
        'Check HF_ENDPOINT, and whether a proxy answers in its place',
      { source: this.describe(), url, expected },
    )
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** An entity tag of the hub is the checksum itself. */
function parseChecksum(etag: string | null): Checksum | null {
  const hex = etag?.replace(/^W\//, '').replaceAll('"', '').toLowerCase() ?? ''
  if (/^[0-9a-f]{64}$/.test(hex)) return { kind: 'sha256', hex }
  return commitPattern.test(hex) ? { kind: 'git', hex } : null
}
