import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { FakeHub, type FakeRepository } from '../../../../../packages/model-hub/src/fake-hub.test-support.js'
import { readDemoModel } from '../../../../../packages/model-hub/src/models.test-support.js'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'

const commit = 'c0ffee00'.repeat(5)
const later = 'deadbeef'.repeat(5)
const files = readDemoModel()
const { 'tokenizer.json': _, ...speechless } = files
const config = (change: object) =>
  Buffer.from(JSON.stringify({ ...JSON.parse(readFileSync(join(demoModel, 'config.json'), 'utf8')), ...change }))

const refs = { main: commit, v1: commit }
const repository = (id: string, contents: Record<string, Buffer>, more: Partial<FakeRepository> = {}) =>
  ({ type: 'model', id, commits: { [commit]: contents, [later]: contents }, refs, ...more }) as const

let hub: FakeHub
let test: TestApi
beforeAll(async () => {
  hub = await FakeHub.start(
    repository('acme/demo', files),
    { ...repository('acme/texts', { 'a.txt': Buffer.from('text '.repeat(9999)) }), type: 'dataset' },
    repository('acme/private', files, { token: 'hf_other' }),
    repository('acme/gated', files, { isGated: true }),
    repository('acme/mamba', { ...files, 'config.json': config({ model_type: 'mamba', architectures: ['M'] }) }),
    repository('acme/odd', { ...files, 'config.json': config({ num_hidden_layers: -1 }) }),
    repository('acme/speechless', speechless),
  )
  test = await createTestApi()
  Object.assign(test.services.hub, { endpoint: hub.endpoint, backoffMs: 1 })
})
afterAll(async () => {
  await test.close()
  await hub.stop()
})

const register = (source: string, more: object = {}, headers = {}) =>
  test.request('POST', '/v1/models', { payload: { source, ...more }, headers })

describe('a model of the hub', () => {
  it('is registered by its configuration, pinned, and once', async () => {
    const answer = await register('hf://acme/demo')
    expect(answer.statusCode).toBe(201)
    const model = answer.json()
    expect(model).toMatchObject({
      ...{ name: 'demo', path: null, source: 'hf://acme/demo@main', revision: commit, hash: null },
      shape: { architecture: 'llama', layers: 8, kvHeads: 3, ffnChannels: 512 },
      prunableParameters: 8 * (2 * 192 * 192 + 2 * 192 * 96 + 3 * 192 * 512),
    })
    expect(hub.take().some(({ server, path }) => server === 'cdn' || /tokenizer|safetensors/.test(path))).toBe(false)
    const again = await register('hf://acme/demo@main', { name: 'renamed' })
    expect(again.statusCode).toBe(200)
    expect(again.json()).toMatchObject({ id: model.id, name: 'renamed' })
    expect((await test.request('GET', `/v1/models/${model.id}`)).json()).toEqual(again.json())
  })

  it('is another one when its branch has moved', async () => {
    const { id } = (await register('hf://acme/demo')).json()
    refs.main = later
    const moved = await register('hf://acme/demo')
    refs.main = commit
    expect(moved.statusCode).toBe(201)
    expect(moved.json()).toMatchObject({ revision: later })
    expect(moved.json().id).not.toBe(id)
    expect((await test.request('GET', `/v1/models/${id}`)).json()).toMatchObject({ revision: commit })
  })

  it('belongs to the team that registered it', async () => {
    const { id } = (await register('hf://acme/demo')).json()
    const { key } = await test.addTeam('other')
    const headers = { authorization: `Bearer ${key}` }
    expect((await test.request('GET', `/v1/models/${id}`, { headers })).statusCode).toBe(404)
    expect((await test.request('GET', '/v1/models', { headers })).json().items).toEqual([])
    const own = await register('hf://acme/demo', {}, headers)
    expect(own.statusCode).toBe(201)
    expect(own.json().id).not.toBe(id)
    const search = await test.request('POST', '/v1/searches', { payload: { model: id }, headers })
    expect(search.json()).toMatchObject({ code: 'MODEL_NOT_FOUND' })
  })

  it.each([
    ['of an unknown repository', 'hf://acme/nothing', 403, 'MODEL_ACCESS_DENIED', 'knows no such public repository'],
    ['of a private repository', 'hf://acme/private', 403, 'MODEL_ACCESS_DENIED', 'set HF_TOKEN'],
    ['of an unknown revision', 'hf://acme/demo@v9', 404, 'MODEL_NOT_FOUND', 'has no revision "v9"'],
    ['that is gated', 'hf://acme/gated', 403, 'MODEL_ACCESS_DENIED', 'accept its terms'],
    ['of an unsupported architecture', 'hf://acme/mamba', 422, 'MODEL_UNSUPPORTED_ARCHITECTURE', 'mamba'],
    ['with a wrong configuration', 'hf://acme/odd', 422, 'MODEL_CONFIG_INVALID', 'num_hidden_layers'],
    ['without a tokenizer', 'hf://acme/speechless', 422, 'MODEL_TOKENIZER_MISSING', 'tokenizer.json'],
    ['with a bad name', 'hf://acme/de mo', 422, 'MODEL_SOURCE_INVALID', 'hf://org/name@revision'],
    ['that is a folder', '/models/demo', 422, 'MODEL_SOURCE_INVALID', 'hf://org/name'],
    ['that is an archive', 'https://acme.example/demo.tar', 422, 'MODEL_SOURCE_INVALID', 'hf://org/name'],
  ])('is refused when it is one %s', async (_, source, status, code, detail) => {
    const answer = await register(source)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({ status, code, detail: expect.stringContaining(detail) })
  })

  it('is refused with an unknown repository as such where the token says so', async () => {
    Object.assign(test.services.hub, { token: 'hf_ours' })
    const answer = await register('hf://acme/nothing')
    Object.assign(test.services.hub, { token: null })
    expect(answer.json()).toMatchObject({ status: 404, code: 'MODEL_NOT_FOUND' })
    expect(answer.body).not.toContain('hf_ours')
  })

  it('is refused when the hub does not answer', async () => {
    Object.assign(test.services.hub, { endpoint: 'http://127.0.0.1:9' })
    const answer = await register('hf://acme/demo')
    Object.assign(test.services.hub, { endpoint: hub.endpoint })
    expect(answer.json()).toMatchObject({ status: 502, code: 'MODEL_DOWNLOAD_FAILED' })
    expect(answer.json().detail).toContain('no answer from http://127.0.0.1:9')
  })

  it.each([
    ['a path as well', { path: '/models/demo' }],
    ['an upload as well', { upload: 'mine' }],
  ])('is refused with %s', async (_, more) => {
    const answer = await register('hf://acme/demo', more)
    expect(answer.json()).toMatchObject({
      status: 400,
      code: 'REQUEST_INVALID',
      errors: [{ in: 'body', path: '/path' }],
    })
  })
})

describe('a search of a model of the hub', () => {
  it('needs its texts, and is accepted with them', async () => {
    const { id: model } = (await register('hf://acme/demo')).json()
    const text = (name: string) => join(demoModel, 'texts', `${name}.txt`)
    const without = await test.request('POST', '/v1/searches', { payload: { model, texts: { test: text('test') } } })
    expect(without.json()).toMatchObject({
      code: 'REQUEST_INVALID',
      errors: [{ path: '/texts/calibration' }, { path: '/texts/validation' }],
    })
    const texts = { calibration: text('calibration'), validation: text('validation'), test: text('test') }
    const search = await test.request('POST', '/v1/searches', { payload: { model, texts } })
    expect(search.statusCode).toBe(202)
    expect(search.json()).toMatchObject({ state: 'QUEUED', model: { id: model } })
  })

  it('takes a file of a data set for a text, pinned, and refuses one that is not there', async () => {
    const { id: model } = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json()
    const submit = (source: string) => {
      hub.take()
      return test.request('POST', '/v1/searches', { payload: { model, texts: { test: source } } })
    }
    const search = await submit('hf://datasets/acme/texts@v1/a.txt')
    expect(search.statusCode).toBe(202)
    expect(search.json().settings.texts.test).toBe(`hf://datasets/acme/texts@${commit}/a.txt`)
    expect(hub.requests.every(({ method }) => method === 'HEAD')).toBe(true)
    const rows = await submit('hf://datasets/acme/texts/a.txt#body&rows=9')
    expect(rows.json().settings.texts.test).toBe(`hf://datasets/acme/texts@${commit}/a.txt#body&rows=9`)
    expect((await submit('hf://datasets/acme/texts/b.txt')).json()).toMatchObject({
      status: 422,
      code: 'TEXT_NOT_FOUND',
    })
    expect((await submit('hf://acme/demo')).json()).toMatchObject({ status: 422, code: 'MODEL_SOURCE_INVALID' })
  })
})
