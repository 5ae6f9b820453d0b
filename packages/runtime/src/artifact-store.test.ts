import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { createArtifactStore } from './artifact-store.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-artifacts-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('the artefact store', () => {
  it('names content by its hash, from bytes or from a file', async () => {
    const store = createArtifactStore(join(folder, 'store'))
    const bytes = Buffer.from('abc')
    // FIPS 180-2, appendix B.1
    const expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    expect(await store.has(expected)).toBe(false)
    await writeFile(join(folder, 'given'), bytes)
    expect(await store.putFile(join(folder, 'given'))).toBe(expected)
    expect(await store.putBytes(bytes)).toBe(expected)
    expect(await readFile(store.path(expected), 'utf8')).toBe('abc')
    expect(Buffer.from(await store.getBytes(expected)).toString()).toBe('abc')
    expect(await store.putBytes(new Uint8Array(0))).toMatch(/^e3b0c442/)
  })

  it('takes the same content from many writers at once and leaves nothing unfinished', async () => {
    const bytes = new Uint8Array(3_000_000).map((_, index) => index % 251)
    const hashes = await Promise.all(Array.from({ length: 12 }, () => createArtifactStore(folder).putBytes(bytes)))
    const expected = createHash('sha256').update(bytes).digest('hex')
    expect(new Set(hashes)).toEqual(new Set([expected]))
    expect(
      createHash('sha256')
        .update(await createArtifactStore(folder).getBytes(expected))
        .digest('hex'),
    ).toBe(expected)
    expect(await readdir(join(folder, 'incoming'))).toEqual([])
  })

  it('leaves nothing behind when the source cannot be read', async () => {
    const store = createArtifactStore(folder)
    await expect(store.putFile(join(folder, 'absent'))).rejects.toThrow('ENOENT')
    expect(await readdir(join(folder, 'incoming'))).toEqual([])
  })

  it('gives no path outside itself', async () => {
    const store = createArtifactStore(folder)
    expect(() => store.path('../../etc/passwd')).toThrow(expect.objectContaining({ code: 'RESOURCE_NOT_FOUND' }))
    for (const path of ['..', '../x', '/etc', '', 'a/../..']) {
      await expect(store.directory(path)).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
    }
    expect(await store.directory('exports/s1/..odd')).toBe(join(folder, 'exports/s1/..odd'))
    await expect(store.getBytes('0'.repeat(64))).rejects.toMatchObject({ code: 'RESOURCE_NOT_FOUND' })
  })
})
