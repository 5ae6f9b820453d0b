import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EspalierError } from '@espalier/contracts'
import { hashModel, openModel } from '@espalier/model-graph'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { FakeHub, type FakeRepository, type Fault, type RecordedRequest, sha256 } from './fake-hub.test-support.js'
import type { DownloadProgress, ModelHubOptions } from './model-hub-options.js'
import { createBytes, readDemoModel } from './models.test-support.js'
import { resolveDataFile, resolveModelSource } from './resolve-model-source.js'

const commit = 'c0ffee00'.repeat(5)
const earlier = 'deadbeef'.repeat(5)
const token = 'hf_secretsecret'

const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const small = {
  'config.json': json({ model_type: 'llama' }),
  'tokenizer.json': json({ version: '1.0' }),
  'model.safetensors': createBytes(40_000, 1),
}
const sharded = {
  'config.json': small['config.json'],
  'model.safetensors.index.json': json({
    weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
  }),
  'model-00001-of-00002.safetensors': createBytes(30_000, 2),
  'model-00002-of-00002.safetensors': createBytes(50_000, 3),
  'consolidated.safetensors': createBytes(80_000, 4),
  'original/params.json': json({}),
  'modeling_custom.py': Buffer.from('import os'),
  'pytorch_model.bin': createBytes(80_000, 5),
  'README.md': Buffer.from('# A model'),
}

function model(id: string, files: Record<string, Buffer>, more: Partial<FakeRepository> = {}): FakeRepository {
  return { type: 'model', id, commits: { [commit]: files }, refs: { main: commit }, ...more }
}

let home = ''
let hub: FakeHub

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-hub-'))
  hub = await FakeHub.start(
    model('acme/small', small, {
      commits: { [commit]: small, [earlier]: { ...small, 'config.json': json({ model_type: 'old' }) } },
      refs: { main: commit, v1: earlier, 'refs/pr/7': earlier },
    }),
    model('acme/sharded', sharded),
    model('acme/private', small, { token }),
    model('acme/gated', small, { isGated: true }),
    model('acme/pickled', { 'config.json': small['config.json'], 'pytorch_model.bin': createBytes(1000, 6) }),
  )
})

afterEach(async () => {
  await hub.stop()
  await rm(home, { recursive: true, force: true })
})

function options(more: Partial<ModelHubOptions> = {}): ModelHubOptions {
  return { home, archives: join(home, 'archives'), endpoint: hub.endpoint, backoffMs: 1, ...more }
}

const resolve = (source: string, more: Partial<ModelHubOptions> = {}) => resolveModelSource(source, options(more))

async function errorOf(work: Promise<unknown>): Promise<EspalierError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (error instanceof EspalierError) return error
  throw error ?? new Error('nothing was refused')
}

function contentsOf(directory: string): Record<string, Buffer> {
  return Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]))
}

/** Every file under a folder with its size, a ref with its text, a link with its target. */
function listLayout(root: string, folder: string): string[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return listLayout(root, path)
    if (entry.isSymbolicLink()) return [`${path} -> ${readlinkSync(join(root, path))}`]
    return [
      `${path} ${path.includes('/refs/') ? readFileSync(join(root, path), 'utf8') : statSync(join(root, path)).size}`,
    ]
  })
  return entries.sort()
}

const repositoryFolder = (id = 'acme/small') => join(home, 'hub', `models--${id.replace('/', '--')}`)
const blobsOf = (id = 'acme/small') => readdirSync(join(repositoryFolder(id), 'blobs')).sort()
const once = (fault: Fault, matches: (request: RecordedRequest) => boolean = ({ server }) => server === 'cdn') => {
  let isDone = false
  return (request: RecordedRequest) => {
    if (isDone || !matches(request)) return null
    isDone = true
    return fault
  }
}

describe('a model of the hub', () => {
  it('is pinned to a commit, checked, and lies in the cache as the hub lays it out', async () => {
    const resolved = await resolve('hf://acme/small')
    expect(resolved.revision).toBe(commit)
    expect(resolved.directory).toBe(join(repositoryFolder(), 'snapshots', commit))
    expect(contentsOf(resolved.directory)).toEqual(small)
    expect(readFileSync(join(repositoryFolder(), 'refs', 'main'), 'utf8')).toBe(commit)
    const blob = sha256(small['model.safetensors'])
    expect(readlinkSync(join(resolved.directory, 'model.safetensors'))).toBe(`../../blobs/${blob}`)
    expect(blobsOf()).toHaveLength(3)
    expect(resolved.files).toContainEqual({ name: 'model.safetensors', bytes: 40_000, cached: false })
  })

  it('takes only configuration, tokenizer and the shards of the index', async () => {
    const { directory } = await resolve('hf://acme/sharded')
    const wanted = Object.keys(sharded).slice(0, 4)
    expect(readdirSync(directory).sort()).toEqual(wanted.sort())
    const fetched = hub.requests.map(({ path }) => path)
    expect(fetched.some((path) => /pytorch|consolidated|original|\.py|README/.test(path))).toBe(false)
  })

  it('opens, and is the model it was', async () => {
    const demo = await FakeHub.start(model('acme/demo', readDemoModel()))
    try {
      const { directory } = await resolve('hf://acme/demo', { endpoint: demo.endpoint })
      const original = await openModel(new URL('../../../models/demo', import.meta.url).pathname)
      expect(await hashModel(await openModel(directory))).toBe(await hashModel(original))
    } finally {
      await demo.stop()
    }
  })

  it('is not downloaded again: one question while the branch may move, none offline', async () => {
    await resolve('hf://acme/small')
    hub.take()
    const again = await resolve('hf://acme/small')
    expect(hub.take().map(({ path }) => path)).toEqual(['/api/models/acme/small/revision/main'])
    expect(again.files.every(({ cached }) => cached)).toBe(true)
    const offline = await resolve('hf://acme/small', { offline: true })
    expect(offline).toEqual(again)
    expect(hub.take()).toEqual([])
  })

  it('shares blobs between revisions', async () => {
    await resolve('hf://acme/small')
    hub.take()
    const old = await resolve('hf://acme/small@refs/pr/7')
    expect(old.revision).toBe(earlier)
    expect(readFileSync(join(old.directory, 'config.json'), 'utf8')).toContain('old')
    expect(hub.requests.filter(({ server }) => server === 'cdn')).toEqual([])
    expect((await resolve('hf://acme/small@refs%2Fpr%2F7', { offline: true })).revision).toBe(earlier)
    expect((await resolve(`hf://acme/small@${earlier}`, { offline: true })).revision).toBe(earlier)
  })

  it.each([true, false])('works with symbolic links allowed: %s', async (symlinks) => {
    const first = await resolve('hf://acme/small', { symlinks })
    expect(lstatSync(join(first.directory, 'model.safetensors')).isSymbolicLink()).toBe(symlinks)
    expect(contentsOf(first.directory)).toEqual(small)
    hub.take()
    const second = await resolve('hf://acme/small@v1', { symlinks })
    expect(readFileSync(join(second.directory, 'model.safetensors'))).toEqual(small['model.safetensors'])
    expect(hub.requests.filter(({ server }) => server === 'cdn')).toEqual([])
  })

  it('reports bytes, files and what is left', async () => {
    const reports: DownloadProgress[] = []
    await resolve('hf://acme/small', { onProgress: (progress) => reports.push(progress) })
    const bytes = Object.values(small).reduce((sum, { length }) => sum + length, 0)
    expect(reports.at(-1)).toMatchObject({
      ...{ source: 'hf://acme/small@main', bytesDone: bytes, bytesTotal: bytes },
      ...{ files: 3, filesDone: 3, etaSeconds: 0 },
    })
    await resolve('hf://acme/small', { onProgress: (progress) => reports.push(progress) })
    expect(reports.at(-1)).toMatchObject({ bytesDone: bytes, bytesTotal: bytes, filesDone: 3 })
  })

  it('downloads at most so many files at a time', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 9 }, (_, n) => [`model-${n}.safetensors`, createBytes(2_000, n)]),
    )
    const index = { weight_map: Object.fromEntries(Object.keys(files).map((name) => [name, name])) }
    const wide = await FakeHub.start(
      model('acme/wide', { 'config.json': json({}), 'model.safetensors.index.json': json(index), ...files }),
    )
    wide.fault = ({ server }) => (server === 'cdn' ? { delayMs: 30 } : null)
    try {
      const { directory } = await resolve('hf://acme/wide', { endpoint: wide.endpoint, parallel: 3 })
      expect(contentsOf(directory)).toMatchObject(files)
      expect(wide.mostAtOnce).toBeGreaterThan(1)
      expect(wide.mostAtOnce).toBeLessThanOrEqual(3)
    } finally {
      await wide.stop()
    }
  })

  it("leaves the same files and links as the hub's own library", async () => {
    const files = {
      'config.json': json({ model_type: 'llama' }),
      'tokenizer.json': json({ version: '1.0' }),
      'model.safetensors': Buffer.alloc(40_000, 7),
    }
    const reference = await FakeHub.start(model('acme/small', files), {
      ...{ type: 'dataset', id: 'acme/texts', refs: { 'refs/convert/parquet': commit } },
      commits: { [commit]: { 'plain/test.parquet': Buffer.alloc(3_000, 1) } },
    })
    const here = options({ endpoint: reference.endpoint })
    await resolveModelSource('hf://acme/small', here)
    await resolveDataFile('hf://datasets/acme/texts@refs/convert/parquet/plain/test.parquet', here)
    await reference.stop()
    const expected: { files: string[] } = JSON.parse(
      readFileSync(new URL('../fixtures/cache-layout.json', import.meta.url), 'utf8'),
    )
    expect(listLayout(home, 'hub')).toEqual(expected.files)
  })

  it('passes a local folder through', async () => {
    await mkdir(join(home, 'local'))
    writeFileSync(join(home, 'local', 'config.json'), '{}')
    expect(await resolve(join(home, 'local'))).toEqual({
      directory: join(home, 'local'),
      revision: null,
      files: [{ name: 'config.json', bytes: 2, cached: true }],
    })
    expect((await errorOf(resolve(join(home, 'absent')))).code).toBe('MODEL_NOT_FOUND')
    expect(hub.requests).toEqual([])
  })
})

describe('a connection that fails', () => {
  it('gives identical files, wherever it is cut', async () => {
    const cut = fc.record({
      cutAfter: fc.integer({ min: 0, max: 50_001 }),
      kind: fc.constantFrom('cutAfter' as const, 'ignoresRange' as const, 'status' as const),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 8 }), fc.boolean(), async (cuts, restarts) => {
        const faults = cuts.map(({ cutAfter, kind }): Fault => {
          if (kind === 'status') return { status: 503, headers: { 'retry-after': '0' } }
          return kind === 'ignoresRange' ? { cutAfter, ignoresRange: true } : { cutAfter }
        })
        hub.fault = ({ method }) => (method === 'GET' ? (faults.shift() ?? null) : null)
        // With restarts every failure ends the command, and it is given again.
        const attempts = restarts ? 1 : cuts.length + 1
        for (let left = cuts.length + 1; left > 0; left--) {
          const failure = await resolve('hf://acme/sharded', { attempts, parallel: 2 }).then(
            () => null,
            (error: unknown) => error,
          )
          if (failure === null) break
          expect(failure).toMatchObject({ code: 'MODEL_DOWNLOAD_FAILED', retryable: true })
        }
        const { directory } = await resolve('hf://acme/sharded', { offline: true })
        for (const [name, bytes] of Object.entries(contentsOf(directory))) {
          expect(bytes.equals(sharded[name as keyof typeof sharded])).toBe(true)
        }
        expect(blobsOf('acme/sharded').filter((name) => name.includes('incomplete'))).toEqual([])
        await rm(join(home, 'hub'), { recursive: true })
      }),
      { numRuns: 40, seed: 4 },
    )
  })

  it('goes on by Range where it was, in the same command and in the next', async () => {
    const faults: Fault[] = [
      { cutAfter: 10_000, cutDelayMs: 100 },
      { cutAfter: 5_000, cutDelayMs: 100 },
      { status: 404 },
    ]
    hub.fault = ({ server }) => (server === 'cdn' ? (faults.shift() ?? null) : null)
    await errorOf(resolve('hf://acme/small', { attempts: 1 }))
    const partial = join(repositoryFolder(), 'blobs', `${sha256(small['model.safetensors'])}.incomplete`)
    expect(statSync(partial).size).toBe(10_000)
    await resolve('hf://acme/small')
    const ranges = hub.requests.filter(({ server }) => server === 'cdn').map(({ range }) => range)
    // The third answer is that of a signed address that has run out: the hub is asked for a new one.
    expect(ranges).toEqual([null, 'bytes=10000-', 'bytes=15000-', 'bytes=15000-'])
  })

  it('stops at an abort, keeps what has arrived, and closes its connections', async () => {
    const controller = new AbortController()
    hub.fault = once({ stallAfter: 20_000 })
    const stopped = resolve('hf://acme/small', { signal: controller.signal })
    const partial = join(repositoryFolder(), 'blobs', `${sha256(small['model.safetensors'])}.incomplete`)
    while ((statSync(partial, { throwIfNoEntry: false })?.size ?? 0) < 20_000) await sleep(5)
    controller.abort(new Error('enough'))
    await expect(stopped).rejects.toThrow('enough')
    hub.take()
    await resolve('hf://acme/small')
    expect(hub.requests.find(({ server }) => server === 'cdn')?.range).toBe('bytes=20000-')
  })

  it('is given up when nothing arrives for long, and tried again', async () => {
    hub.fault = once({ stallAfter: 12_345 })
    const { directory } = await resolve('hf://acme/small', { stallMs: 200 })
    expect(contentsOf(directory)).toEqual(small)
    hub.fault = ({ path }) => (path.startsWith('/api') ? { stallAfter: 0, cutAfter: 0, status: 502 } : null)
    const error = await errorOf(resolve('hf://acme/small', { attempts: 3 }))
    expect(error).toMatchObject({ code: 'MODEL_DOWNLOAD_FAILED' })
    expect(error.message).toMatch(/502; given up, after 3 attempts/)
  })

  it('waits as long as a busy server asks, but not for ever', async () => {
    hub.fault = once({ status: 429, headers: { 'retry-after': '1' } }, ({ path }) => path.startsWith('/api'))
    const begun = performance.now()
    await resolve('hf://acme/small')
    expect(performance.now() - begun).toBeGreaterThan(990)
    hub.fault = () => ({ status: 429, headers: { ratelimit: '"api";r=0;t=3600' } })
    const error = await errorOf(resolve('hf://acme/small'))
    expect(error.message).toContain('the server asks to wait 3600 s')
  })

  it('says that nobody listens', async () => {
    const error = await errorOf(resolve('hf://acme/small', { endpoint: 'http://127.0.0.1:9', attempts: 2 }))
    expect(error).toMatchObject({ code: 'MODEL_DOWNLOAD_FAILED', retryable: true })
    expect(error.message).toContain('http://127.0.0.1:9')
  })
})

describe('contents that are wrong', () => {
  it('are fetched once more, then refused, and never appear in the cache', async () => {
    hub.fault = once({ isCorrupt: true })
    expect(contentsOf((await resolve('hf://acme/small')).directory)).toEqual(small)
    await rm(join(home, 'hub'), { recursive: true })
    hub.fault = ({ server }) => (server === 'cdn' ? { isCorrupt: true } : null)
    const error = await errorOf(resolve('hf://acme/small'))
    expect(error).toMatchObject({ code: 'MODEL_CHECKSUM_MISMATCH' })
    expect(error.details).toMatchObject({ expected: sha256(small['model.safetensors']) })
    expect(blobsOf().some((name) => name.startsWith(sha256(small['model.safetensors'])))).toBe(false)
  })

  it('are found in small files, too, by their git hash', async () => {
    hub.fault = ({ path }) => (path.endsWith('tokenizer.json') ? { isCorrupt: true } : null)
    const error = await errorOf(resolve('hf://acme/small'))
    expect(error.message).toMatch(/tokenizer\.json: expected git SHA-1 [0-9a-f]{40}, found [0-9a-f]{40}/)
  })

  it('of an earlier partial file are thrown away', async () => {
    await mkdir(join(repositoryFolder(), 'blobs'), { recursive: true })
    const partial = join(repositoryFolder(), 'blobs', `${sha256(small['model.safetensors'])}.incomplete`)
    for (const length of [20_000, 40_000, 60_000]) {
      writeFileSync(partial, Buffer.alloc(length))
      expect(contentsOf((await resolve('hf://acme/small')).directory)).toEqual(small)
      await rm(join(repositoryFolder(), 'snapshots'), { recursive: true })
      await rm(join(repositoryFolder(), 'blobs', sha256(small['model.safetensors'])))
    }
  })

  it('that are too long are cut off', async () => {
    hub.fault = ({ server }) => (server === 'cdn' ? { trailing: 100 } : null)
    expect((await errorOf(resolve('hf://acme/small'))).code).toBe('MODEL_CHECKSUM_MISMATCH')
  })
})

describe('access', () => {
  it('is by a token that no other server sees', async () => {
    const { directory } = await resolve('hf://acme/private', { token })
    expect(contentsOf(directory)).toEqual(small)
    const seen = (server: string) => hub.requests.filter((one) => one.server === server).map((one) => one.authorization)
    expect(new Set(seen('hub'))).toEqual(new Set([`Bearer ${token}`]))
    expect(new Set(seen('cdn'))).toEqual(new Set([null]))
  })

  it('is by the token that the login of the hub has stored', async () => {
    writeFileSync(join(home, 'token'), `${token}\n`)
    expect((await resolve('hf://acme/private')).revision).toBe(commit)
  })

  it.each([
    ['hf://acme/private', null, 'MODEL_ACCESS_DENIED', /if it is private or gated, set HF_TOKEN/],
    ['hf://acme/private', 'hf_wrong', 'MODEL_ACCESS_DENIED', /refuses the token given \(401\)/],
    ['hf://acme/gated', null, 'MODEL_ACCESS_DENIED', /accept its terms at http.*\/acme\/gated, then set HF_TOKEN/],
    ['hf://acme/absent', 'hf_any', 'MODEL_NOT_FOUND', /no such repository/],
    ['hf://acme/small@v9', null, 'MODEL_NOT_FOUND', /has no revision "v9"/],
  ] as const)('to %s with token %s fails with a way out', async (source, given, code, message) => {
    const error = await errorOf(resolve(source, { token: given }))
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(JSON.stringify([error.message, error.details])).not.toContain('hf_')
  })
})

describe('what is refused', () => {
  it('pickled weights, before a byte of them is loaded', async () => {
    const error = await errorOf(resolve('hf://acme/pickled'))
    expect(error.code).toBe('MODEL_WEIGHTS_UNSAFE')
    expect(error.message).toMatch(/pytorch_model\.bin.*safe_serialization=True/s)
    expect(hub.requests).toHaveLength(1)
  })

  it('a file larger than the disk, before anything is loaded', async () => {
    hub.fault = ({ method }) => (method === 'HEAD' ? { headers: { 'x-linked-size': String(2 ** 49) } } : null)
    const error = await errorOf(resolve('hf://acme/small'))
    expect(error.code).toBe('MODEL_DISK_FULL')
    expect(error.details).toMatchObject({ folder: join(repositoryFolder(), 'blobs') })
    expect(hub.requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })

  it.each(['../../escape.safetensors', '/etc/model.safetensors', 'a\\b.safetensors', 'sub/model.safetensors'])(
    'an index that names the shard %s',
    async (shard) => {
      const hostile = await FakeHub.start(
        model('acme/hostile', {
          'config.json': json({}),
          'model.safetensors.index.json': json({ weight_map: { a: shard } }),
          [shard]: createBytes(10, 7),
        }),
      )
      const error = await errorOf(resolve('hf://acme/hostile', { endpoint: hostile.endpoint }))
      expect(error).toMatchObject({ code: 'MODEL_FILE_INVALID' })
      await hostile.stop()
    },
  )

  it.each([
    ['a commit that is a path', { 'x-repo-commit': '../../../../tmp' }, 'HEAD'],
    ['a checksum that is a path', { 'x-linked-etag': '"../../evil"', etag: '"../../evil"' }, 'HEAD'],
    ['a redirect to a file', { location: 'file:///etc/passwd' }, 'GET'],
    ['a redirect to nowhere', { location: 'http://' }, 'GET'],
  ] as const)('%s', async (_, headers, method) => {
    hub.fault = (request) => (request.method === method && !request.path.startsWith('/api/models') ? { headers } : null)
    expect((await errorOf(resolve('hf://acme/small'))).code).toBe('MODEL_DOWNLOAD_FAILED')
    expect(readdirSync(home)).toEqual(readdirSync(home).filter((name) => name === 'hub'))
  })

  it('a redirect without end', async () => {
    hub.fault = ({ path }) => (path.startsWith('/api') ? { status: 307, headers: { location: '/api/again' } } : null)
    expect((await errorOf(resolve('hf://acme/small'))).message).toMatch(/at most 10 are followed/)
  })

  it("an answer that is not the hub's", async () => {
    hub.fault = ({ path }) =>
      path.startsWith('/api') ? { status: 200, headers: { 'content-type': 'text/html' } } : null
    expect((await errorOf(resolve('hf://acme/small'))).message).toMatch(/does not behave like the hub.*HF_ENDPOINT/)
  })

  it('offline, what is not in the cache', async () => {
    const absent = await errorOf(resolve('hf://acme/small', { offline: true }))
    expect(absent.message).toMatch(/HF_HUB_OFFLINE.*has no commit of revision "main"/)
    const { directory } = await resolve('hf://acme/sharded')
    await rm(join(directory, 'model-00002-of-00002.safetensors'))
    const partial = await errorOf(resolve('hf://acme/sharded', { offline: true }))
    expect(partial).toMatchObject({ code: 'MODEL_NOT_CACHED' })
    expect(partial.message).toContain('no model-00002-of-00002.safetensors')
    expect(hub.requests.length).toBeGreaterThan(0)
  })
})

describe('a file of a data set', () => {
  const table = createBytes(30_000, 8)
  const dataset: FakeRepository = {
    type: 'dataset',
    id: 'acme/texts',
    commits: { [commit]: { 'plain/test.parquet': table, 'a b#c.txt': Buffer.from('text') } },
    refs: { main: commit, 'refs/convert/parquet': commit },
  }

  it('is pinned, cached and checked like a model', async () => {
    const data = await FakeHub.start(dataset)
    const here = options({ endpoint: data.endpoint })
    const source = 'hf://datasets/acme/texts@refs/convert/parquet/plain/test.parquet'
    const found = await resolveDataFile(source, here)
    expect(found).toMatchObject({ revision: commit, bytes: 30_000 })
    expect(found.file).toContain(join('hub', 'datasets--acme--texts', 'snapshots', commit, 'plain', 'test.parquet'))
    expect(readFileSync(found.file).equals(table)).toBe(true)
    data.take()
    expect(await resolveDataFile(source, { ...here, offline: true })).toEqual(found)
    expect(await resolveDataFile(`hf://datasets/acme/texts@${commit}/plain/test.parquet`, here)).toEqual(found)
    expect(data.take()).toEqual([])
    const odd = await resolveDataFile('hf://datasets/acme/texts/a b#c.txt', here)
    expect(readFileSync(odd.file, 'utf8')).toBe('text')
    const absent = await errorOf(resolveDataFile('hf://datasets/acme/texts/absent.txt', here))
    expect(absent).toMatchObject({ code: 'TEXT_NOT_FOUND' })
    await data.stop()
  })
})
