import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { FakeHub, type FakeRepository } from './fake-hub.test-support.js'
import type { ModelHubOptions } from './model-hub-options.js'
import { createBytes } from './models.test-support.js'
import { outlineModelSource, pinModelSource } from './outline-model-source.js'
import { resolveModelSource } from './resolve-model-source.js'

const commit = 'c0ffee00'.repeat(5)
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const files = {
  'config.json': json({ model_type: 'llama' }),
  'tokenizer.json': json({ version: '1.0' }),
  LICENSE: Buffer.from('as is'),
  'model.safetensors': createBytes(40_000, 1),
}
const { 'tokenizer.json': _, ...speechless } = files
const { 'model.safetensors': weights, ...rest } = files

let home = ''
let hub: FakeHub
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-outline-'))
  const repository = (id: string, contents: Record<string, Buffer>): FakeRepository => ({
    ...{ type: 'model', id, commits: { [commit]: contents }, refs: { main: commit, v1: commit } },
  })
  hub = await FakeHub.start(
    repository('acme/small', files),
    repository('acme/speechless', speechless),
    repository('acme/pickled', { ...rest, 'pytorch_model.bin': weights }),
  )
})
afterEach(async () => {
  await hub.stop()
  await rm(home, { recursive: true, force: true })
})

const options = (): ModelHubOptions => ({
  home,
  archives: join(home, 'archives'),
  endpoint: hub.endpoint,
  backoffMs: 1,
})

describe('a model before it is downloaded', () => {
  it('is pinned, and nothing but its configuration is fetched', async () => {
    const outlined = await outlineModelSource('hf://acme/small@v1', options())
    expect(outlined).toMatchObject({ source: 'hf://acme/small@v1', revision: commit })
    expect(readdirSync(outlined.directory)).toEqual(['config.json'])
    expect(hub.requests.filter(({ server }) => server === 'cdn')).toEqual([])
    expect(hub.take().some(({ path }) => /tokenizer|safetensors|LICENSE/.test(path))).toBe(false)
  })

  it.each([
    ['without a tokenizer', 'hf://acme/speechless', 'MODEL_TOKENIZER_MISSING'],
    ['with pickled weights', 'hf://acme/pickled', 'MODEL_WEIGHTS_UNSAFE'],
    ['that is a folder', '/models/small', 'MODEL_SOURCE_INVALID'],
    ['that is an archive', 'https://acme.example/small.tar', 'MODEL_SOURCE_INVALID'],
    ['that is a file of a data set', 'hf://datasets/acme/texts/a.txt', 'MODEL_SOURCE_INVALID'],
  ])('is refused %s', async (_, source, code) => {
    await expect(outlineModelSource(source, options())).rejects.toMatchObject({ code })
  })
})

describe('a pinned model', () => {
  const pinned = pinModelSource('hf://acme/small@v1', commit)

  it('is downloaded like any, and found without a question from then on', async () => {
    expect(pinned).toBe(`hf://acme/small@${commit}`)
    await outlineModelSource('hf://acme/small', options())
    const { directory } = await resolveModelSource(pinned, options())
    expect(readdirSync(directory).sort()).toEqual(Object.keys(files).sort())
    hub.take()
    expect((await resolveModelSource(pinned, options())).directory).toBe(directory)
    expect(hub.take()).toEqual([])
  })

  it('has its weights last, so that a download that was cut is not taken for whole', async () => {
    hub.fault = ({ path }) => (path.endsWith('LICENSE') ? { status: 403 } : null)
    await expect(resolveModelSource(pinned, options())).rejects.toMatchObject({ code: 'MODEL_ACCESS_DENIED' })
    expect(hub.take().filter(({ server }) => server === 'cdn')).toEqual([])
    hub.fault = () => null
    const { directory } = await resolveModelSource(pinned, options())
    expect(readdirSync(directory).sort()).toEqual(Object.keys(files).sort())
  })
})
