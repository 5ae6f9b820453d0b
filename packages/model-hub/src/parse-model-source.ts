import { EspalierError } from '@espalier/contracts'

/** A repository of the hub at a revision: branch, tag or commit. */
export interface HubRepository {
  readonly type: 'model' | 'dataset'
  /** `org/name`, or `name` alone for the oldest repositories. */
  readonly id: string
  readonly revision: string
}

export type ModelSource =
  | { readonly kind: 'folder'; readonly path: string }
  | { readonly kind: 'repository'; readonly repository: HubRepository }
  | { readonly kind: 'dataset-file'; readonly repository: HubRepository; readonly path: string }
  /** `sha256`: what the archive must have, from the fragment `#sha256=...`. */
  | { readonly kind: 'archive'; readonly url: string; readonly sha256: string | null }

const defaultRevision = 'main'
const datasetPrefix = 'hf://datasets/'
const modelForm = 'hf://org/name or hf://org/name@revision'
const datasetForm = 'hf://datasets/org/name/path or hf://datasets/org/name@revision/path'

/** The hub's rule for names; `--` is kept free, as the cache writes `/` so. */
const namePattern = /^(?!.*(?:--|\.\.))[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$/
const revisionPattern = /^[A-Za-z0-9_][A-Za-z0-9._+-]*(?:\/[A-Za-z0-9_][A-Za-z0-9._+-]*)*$/
const maxRevisionLength = 200
/** Revisions with a slash that need no escape before a path. */
const specialRevision = /^(refs\/(?:pr|convert)\/[^/]+)\/(.+)$/

/** Whether a source is an address rather than a local folder. */
export function isRemoteSource(source: string): boolean {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(source)
}

/**
 * What a source is: `hf://org/name@revision`, `hf://datasets/org/name@revision/path`, `http(s)://` archive, else a
 * local folder.
 *
 * @throws EspalierError MODEL_SOURCE_INVALID
 */
export function parseModelSource(source: string): ModelSource {
  if (source.startsWith(datasetPrefix)) return parseDatasetFile(source)
  if (source.startsWith('hf://')) return { kind: 'repository', repository: parseModelRepository(source) }
  if (/^https?:\/\//i.test(source)) return parseArchive(source)
  if (isRemoteSource(source)) throw refuse(source, `${modelForm}, an http or https address, or a folder`)
  return { kind: 'folder', path: source }
}

function parseModelRepository(source: string): HubRepository {
  const rest = source.slice('hf://'.length)
  const at = rest.indexOf('@')
  const id = at < 0 ? rest : rest.slice(0, at)
  const revision = at < 0 ? defaultRevision : decode(rest.slice(at + 1), source)
  const names = id.split('/')
  if (names.length > 2 || !names.every((name) => namePattern.test(name))) throw refuse(source, modelForm)
  return { type: 'model', id, revision: checkRevision(revision, source) }
}

function parseDatasetFile(source: string): ModelSource {
  const [org = '', second = '', ...others] = source.slice(datasetPrefix.length).split('/')
  const at = second.indexOf('@')
  const name = at < 0 ? second : second.slice(0, at)
  if (!namePattern.test(org) || !namePattern.test(name)) throw refuse(source, datasetForm)
  let revision = at < 0 ? defaultRevision : decode(second.slice(at + 1), source)
  let path = others.join('/')
  const special = at < 0 ? null : specialRevision.exec(`${revision}/${path}`)
  if (special !== null) [, revision = '', path = ''] = special
  if (!isSafeRelativePath(path)) throw refuse(source, `${datasetForm}, the path of one file`)
  const repository = { type: 'dataset', id: `${org}/${name}`, revision: checkRevision(revision, source) } as const
  return { kind: 'dataset-file', repository, path }
}

function parseArchive(source: string): ModelSource {
  if (!URL.canParse(source)) throw refuse(source, 'a valid address')
  const url = new URL(source)
  const fragment = /^#sha256=([0-9a-f]{64})$/i.exec(url.hash)
  if (url.hash !== '' && fragment === null) throw refuse(source, 'no fragment but #sha256= and 64 hexadecimal digits')
  url.hash = ''
  return { kind: 'archive', url: url.href, sha256: fragment?.[1]?.toLowerCase() ?? null }
}

function decode(text: string, source: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuse(source, 'a revision with valid % escapes')
  }
}

function checkRevision(revision: string, source: string): string {
  const isValid = revision.length <= maxRevisionLength && revisionPattern.test(revision) && !revision.includes('..')
  if (!isValid) throw refuse(source, 'a revision (branch, tag or commit) of letters, digits and any of . _ + - /')
  return revision
}

/** Whether a name from outside stays inside the folder it is joined to, on every operating system. */
export function isSafeRelativePath(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
  if (path.length > 1000 || /[\\:\u0000-\u001f]/.test(path)) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

/** An address as it may be shown: without user, password and query, which may hold secrets. */
export function withoutSecrets(address: string): string {
  if (!URL.canParse(address)) return address
  const url = new URL(address)
  url.username = ''
  url.password = ''
  url.search = ''
  url.hash = ''
  return url.href
}

function refuse(source: string, expected: string): EspalierError {
  const shown = withoutSecrets(source)
  return new EspalierError('MODEL_SOURCE_INVALID', `"${shown}" is not a source of a model: expected ${expected}`, {
    source: shown,
    expected,
  })
}
