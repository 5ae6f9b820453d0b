import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { EspalierError } from '@espalier/contracts'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Header } from 'tar'
import { ZipFile } from 'yazl'
import { type Fault, sha256, startFileServer } from './fake-hub.test-support.js'
import type { ModelHubOptions } from './model-hub-options.js'
import { createBytes } from './models.test-support.js'
import { resolveModelSource } from './resolve-model-source.js'

const files = {
  'config.json': Buffer.from('{"model_type":"llama"}'),
  'tokenizer.json': Buffer.from('{}'),
  'model.safetensors': createBytes(60_000, 1),
}
const around = { 'README.md': Buffer.from('# A model'), 'run.py': Buffer.from('import os') }

interface TarEntry {
  readonly path: string
  readonly contents?: Buffer
  readonly type?: 'File' | 'SymbolicLink' | 'Link' | 'CharacterDevice'
  readonly linkpath?: string
}

/** A tar by hand, so that it can hold what no packer would write. */
function packTar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(({ path, contents = Buffer.alloc(0), type = 'File', linkpath }) => {
    const block = Buffer.alloc(512)
    new Header({
      path,
      mode: 0o644,
      size: contents.length,
      type,
      ...(linkpath === undefined ? {} : { linkpath }),
    }).encode(block)
    return [block, contents, Buffer.alloc((512 - (contents.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

const entriesOf = (contents: Record<string, Buffer>, folder = '') =>
  Object.entries(contents).map(([name, bytes]) => ({ path: `${folder}${name}`, contents: bytes }))

async function packZip(entries: readonly TarEntry[]): Promise<Buffer> {
  const zip = new ZipFile()
  for (const { path, contents = Buffer.alloc(0), type } of entries) {
    zip.addBuffer(contents, path, { mode: type === 'SymbolicLink' ? 0o120777 : 0o100644 })
  }
  zip.end()
  return buffer(zip.outputStream)
}

let home = ''
let served: { bytes: Buffer; etag: string | null; fault?: Fault }
let server: Awaited<ReturnType<typeof startFileServer>>

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-archive-'))
  server = await startFileServer(() => served)
})

afterEach(async () => {
  await server.stop()
  await rm(home, { recursive: true, force: true })
})

const resolve = (path = '/model', more: Partial<ModelHubOptions> = {}) =>
  resolveModelSource(`${server.url}${path}`, { home, archives: join(home, 'archives'), backoffMs: 1, ...more })

function serve(bytes: Buffer, etag: string | null = `"${sha256(bytes).slice(0, 16)}"`, fault?: Fault): void {
  served = { bytes, etag, ...(fault === undefined ? {} : { fault }) }
}

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

/** Nothing half done stays behind. */
function expectNothingUnpacked(): void {
  const models = join(home, 'archives', 'models')
  expect(statSync(models, { throwIfNoEntry: false }) ? readdirSync(models) : []).toEqual([])
}

describe('an archive of a model', () => {
  it.each([
    ['tar', async () => packTar(entriesOf({ ...around, ...files }))],
    ['tar.gz with a folder', async () => gzipSync(packTar(entriesOf({ ...files, ...around }, './some/model-1/')))],
    ['zip', async () => packZip(entriesOf({ ...around, ...files }))],
    ['zip with a folder', async () => packZip(entriesOf({ ...files, ...around }, 'model-1/'))],
  ])('is unpacked from %s, whatever its address is called', async (_, pack) => {
    const bytes = await pack()
    serve(bytes)
    const resolved = await resolve('/download?id=7&key=secret')
    expect(resolved.revision).toBe(sha256(bytes))
    expect(contentsOf(resolved.directory)).toEqual(files)
    expect(resolved.files.map(({ name }) => name)).toEqual(Object.keys(files).sort())
    expect(readdirSync(join(home, 'archives', 'downloads')).filter((name) => !name.endsWith('.json'))).toEqual([])
  })

  const itWithGnuTar = /GNU/.test(spawnSync('tar', ['--version'], { encoding: 'utf8' }).stdout ?? '') ? it : it.skip

  itWithGnuTar('packed by GNU tar opens, too', async () => {
    const folder = join(home, 'pack', 'the model')
    mkdirSync(folder, { recursive: true })
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
    const long = join(folder, 'x'.repeat(120), 'config.json')
    mkdirSync(dirname(long))
    writeFileSync(long, '{}')
    for (const format of ['gnu', 'pax']) {
      serve(execFileSync('tar', [`--format=${format}`, '-czf', '-', '-C', join(home, 'pack'), 'the model']))
      expect(contentsOf((await resolve()).directory)).toMatchObject(files)
    }
  })

  it('is not downloaded again while its ETag holds, and is when it changes', async () => {
    serve(packTar(entriesOf(files)))
    const first = await resolve()
    const again = await resolve()
    expect(server.requests).toHaveLength(2)
    expect(again.directory).toBe(first.directory)
    expect(await resolve('/model', { offline: true })).toEqual(again)
    expect(server.requests).toHaveLength(2)
    serve(packTar(entriesOf({ ...files, 'config.json': Buffer.from('{"model_type":"other"}') })))
    const changed = await resolve()
    expect(readFileSync(join(changed.directory, 'config.json'), 'utf8')).toContain('other')
    expect(contentsOf(first.directory)).toEqual(files)
  })

  it('is held to the checksum in its address, and asks nothing when that is there', async () => {
    const bytes = packTar(entriesOf(files))
    serve(bytes)
    const wrong = await errorOf(resolve(`/model#sha256=${'0'.repeat(64)}`))
    expect(wrong).toMatchObject({ code: 'MODEL_CHECKSUM_MISMATCH', details: { found: sha256(bytes) } })
    await resolve(`/model#sha256=${sha256(bytes)}`)
    const { length } = server.requests
    await resolve(`/elsewhere#sha256=${sha256(bytes)}`)
    expect(server.requests).toHaveLength(length)
  })

  it('is identical wherever the connection is cut, and never joined from two versions', async () => {
    const versions = [1, 2].map((seed) =>
      packTar(entriesOf({ ...files, 'model.safetensors': createBytes(60_000, seed) })),
    )
    const step = fc.record({ cutAfter: fc.integer({ min: 0, max: 70_000 }), version: fc.nat(1) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 6 }), fc.boolean(), async (steps, hasEtag) => {
        for (const { cutAfter, version } of [...steps, { cutAfter: undefined, version: 0 }]) {
          const bytes = versions[version] ?? Buffer.alloc(0)
          serve(bytes, hasEtag ? `"v${version}"` : null, cutAfter === undefined ? {} : { cutAfter })
          const got = await resolve('/model', { attempts: 1 }).catch((error: unknown) => error)
          if (got instanceof EspalierError) expect(got.code).toBe('MODEL_DOWNLOAD_FAILED')
          else expect(got).toMatchObject({ revision: sha256(bytes) })
        }
        await rm(join(home, 'archives'), { recursive: true })
      }),
      { numRuns: 25, seed: 4 },
    )
  })

  it('goes on by Range in the next command', async () => {
    const bytes = packTar(entriesOf(files))
    serve(bytes, '"v1"', { cutAfter: 30_000, cutDelayMs: 100 })
    await errorOf(resolve('/model', { attempts: 1 }))
    serve(bytes, '"v1"')
    await resolve()
    expect(server.requests.at(-1)?.headers).toMatchObject({ range: 'bytes=30000-', 'if-range': '"v1"' })
  })

  it.each([
    [404, 'MODEL_NOT_FOUND'],
    [401, 'MODEL_ACCESS_DENIED'],
    [418, 'MODEL_DOWNLOAD_FAILED'],
  ])('that the server answers with %d is %s, and no secret is shown', async (status, code) => {
    serve(Buffer.alloc(0), null, { status })
    const error = await errorOf(resolve('/model?key=secret'))
    expect(error.code).toBe(code)
    expect(JSON.stringify([error.message, error.details])).not.toContain('secret')
  })
})

describe('an archive that is not honest', () => {
  const hostile: readonly (readonly [string, TarEntry])[] = [
    ['climbs out', { path: '../evil/config.json', contents: Buffer.from('{}') }],
    ['climbs out in the middle', { path: 'a/../../config.json', contents: Buffer.from('{}') }],
    ['is absolute', { path: '/tmp/config.json', contents: Buffer.from('{}') }],
    ['has a drive', { path: 'C:/config.json', contents: Buffer.from('{}') }],
    ['has a symbolic link out', { path: 'model.safetensors', type: 'SymbolicLink', linkpath: '/etc/passwd' }],
    ['has a symbolic link as folder', { path: 'sub', type: 'SymbolicLink', linkpath: '/tmp' }],
    ['has a hard link', { path: 'tokenizer.json', type: 'Link', linkpath: '/etc/passwd' }],
  ]

  it.each(hostile)('as tar: it %s', async (_, entry) => {
    serve(gzipSync(packTar([...entriesOf({ 'config.json': files['config.json'] }), entry])))
    expect((await errorOf(resolve())).code).toBe('MODEL_ARCHIVE_INVALID')
    expectNothingUnpacked()
  })

  it.each(hostile.filter(([, { type }]) => type !== 'Link'))('as zip: it %s', async (_, { path, type, contents }) => {
    // The packer refuses such names: one of the same length is replaced after it.
    const stand = 'z'.repeat(path.length)
    const zip = await packZip([
      { path: stand, ...(type ? { type } : {}), contents: contents ?? Buffer.from('/etc/passwd') },
    ])
    serve(Buffer.from(zip.toString('latin1').replaceAll(stand, path), 'latin1'))
    expect((await errorOf(resolve())).code).toBe('MODEL_ARCHIVE_INVALID')
    expectNothingUnpacked()
  })

  it('unpacks to more than allowed', async () => {
    const bomb = { ...files, 'model.safetensors': Buffer.alloc(5_000_000) }
    for (const bytes of [gzipSync(packTar(entriesOf(bomb))), await packZip(entriesOf(bomb))]) {
      serve(bytes)
      const error = await errorOf(resolve('/model', { maxArchiveBytes: 1_000_000 }))
      expect(error.message).toContain('more than the 1000000 bytes allowed')
      expectNothingUnpacked()
    }
  })

  it('has a file twice', async () => {
    serve(packTar([...entriesOf(files), ...entriesOf({ 'config.json': Buffer.from('{"other":1}') })]))
    expect((await errorOf(resolve())).message).toContain('is there twice')
  })

  it('has only pickled weights, or none', async () => {
    serve(packTar(entriesOf({ 'config.json': files['config.json'], 'pytorch_model.bin': createBytes(100, 3) })))
    expect((await errorOf(resolve())).code).toBe('MODEL_WEIGHTS_UNSAFE')
    serve(packTar(entriesOf(around)))
    expect((await errorOf(resolve())).code).toBe('MODEL_UNREADABLE')
  })

  it('is cut short, or is something else', async () => {
    const tar = packTar(entriesOf(files))
    const zip = await packZip(entriesOf(files))
    const broken = [
      ...[tar.subarray(0, 30_000), gzipSync(tar).subarray(0, 30_000), zip.subarray(0, 30_000)],
      ...[Buffer.from('<!doctype html>'), createBytes(5_000, 9), Buffer.alloc(0)],
    ]
    for (const bytes of broken) {
      serve(bytes)
      expect(['MODEL_ARCHIVE_INVALID', 'MODEL_UNREADABLE']).toContain((await errorOf(resolve())).code)
      expectNothingUnpacked()
    }
  })

  it('is bytes at random: it ends in an error, nothing is written outside', async () => {
    const packed = [packTar(entriesOf(files)), gzipSync(packTar(entriesOf(files))), await packZip(entriesOf(files))]
    const change = fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), value: fc.nat(255) })
    await fc.assert(
      fc.asyncProperty(fc.nat(2), fc.array(change, { minLength: 1, maxLength: 5 }), async (which, changes) => {
        const bytes = Buffer.from(packed[which] ?? Buffer.alloc(0))
        // Headers lie at the start of a tar and at the end of a zip.
        for (const { at, value } of changes) bytes[Math.floor(at ** 4 * (bytes.length - 1))] = value
        for (const { at, value } of changes) bytes[bytes.length - 1 - Math.floor(at ** 4 * (bytes.length - 1))] = value
        serve(bytes)
        const got = await resolve().catch((error: unknown) => error)
        if (got instanceof EspalierError)
          expect(got.code).toMatch(/^MODEL_(ARCHIVE_INVALID|UNREADABLE|WEIGHTS_UNSAFE)$/)
        else expect(got).toMatchObject({ revision: sha256(bytes) })
        expect(readdirSync(home)).toEqual(['archives'])
      }),
      { numRuns: 150, seed: 4 },
    )
  })
})

describe('links in the folder of archives', () => {
  it('are not followed out of it while unpacking', async () => {
    const outside = join(home, 'outside')
    mkdirSync(outside)
    mkdirSync(join(home, 'archives'), { recursive: true })
    symlinkSync(outside, join(home, 'archives', 'link'))
    serve(packTar(entriesOf(files, 'link/')))
    expect(contentsOf((await resolve()).directory)).toEqual(files)
    expect(readdirSync(outside)).toEqual([])
  })
})
