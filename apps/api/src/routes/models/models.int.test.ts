import { copyFile, mkdir, readdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'

const maxUploadBytes = 8 * 1024 * 1024

let test: TestApi
beforeAll(async () => {
  test = await createTestApi({ maxUploadBytes })
})
afterAll(() => test.close())

const modelFiles = ['config.json', 'model.safetensors', 'tokenizer.json']

/** A folder with the files of the bundled model. */
async function copyModel(name: string, files: readonly string[] = modelFiles): Promise<string> {
  const folder = join(test.home, name)
  await mkdir(folder)
  for (const file of files) await copyFile(join(demoModel, file), join(folder, file))
  return folder
}

const createModel = (payload: object) => test.request('POST', '/v1/models', { payload })

describe('models', () => {
  it('registers a folder once and shows it', async () => {
    const first = await createModel({ path: demoModel })
    expect(first.statusCode).toBe(201)
    const model = first.json()
    expect(first.headers.location).toBe(`/v1/models/${model.id}`)
    expect(model).toMatchObject({
      name: 'demo',
      path: demoModel,
      shape: { architecture: 'llama', layers: 8, kvHeads: 3, ffnChannels: 512 },
      prunableParameters: 8 * (2 * 192 * 192 + 2 * 192 * 96 + 3 * 192 * 512),
    })
    const again = await createModel({ path: `${demoModel}/`, name: 'renamed' })
    expect(again.statusCode).toBe(200)
    expect(again.json()).toMatchObject({ id: model.id, name: 'renamed' })
    expect((await test.request('GET', `/v1/models/${model.id}`)).json()).toEqual(again.json())
  })

  it.each([
    ['neither folder nor upload', {}, '/path'],
    ['both', { path: '/a', upload: 'b' }, '/path'],
    ['a relative path', { path: 'models/demo' }, '/path'],
    ['an unknown field', { path: '/a', pth: 1 }, '/pth'],
    ['an upload outside the folder', { upload: '../default' }, '/upload'],
  ])('refuses %s', async (_, payload, path) => {
    const answer = await createModel(payload)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_INVALID', errors: [{ in: 'body', path }] })
  })

  it('refuses a folder that is not there, names it', async () => {
    const answer = await createModel({ path: '/no/such/model' })
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect(answer.json().detail).toContain('/no/such/model')
  })

  it('refuses a folder without tokenizer', async () => {
    const answer = await createModel({ path: await copyModel('no-tokenizer', ['config.json', 'model.safetensors']) })
    expect(answer.statusCode).toBe(422)
    expect(answer.json()).toMatchObject({ code: 'MODEL_TOKENIZER_MISSING', details: { expected: 'tokenizer.json' } })
  })

  it('refuses a truncated file and another architecture', async () => {
    const truncated = await copyModel('truncated')
    await truncate(join(truncated, 'model.safetensors'), 1_000_000)
    expect((await createModel({ path: truncated })).json()).toMatchObject({ code: 'MODEL_FILE_TRUNCATED', status: 422 })
    const other = await copyModel('other-architecture')
    const config = JSON.parse(await readFile(join(other, 'config.json'), 'utf8'))
    await writeFile(
      join(other, 'config.json'),
      JSON.stringify({ ...config, model_type: 'mamba', architectures: ['M'] }),
    )
    expect((await createModel({ path: other })).json()).toMatchObject({
      code: 'MODEL_UNSUPPORTED_ARCHITECTURE',
      status: 422,
    })
  })

  it('pages through models in order, each once', async () => {
    const names = ['page-a', 'page-b', 'page-c']
    for (const name of names) {
      const path = join(test.home, name)
      await symlink(demoModel, path)
      await createModel({ path })
    }
    const whole = (await test.request('GET', '/v1/models')).json()
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page = await test.request('GET', `/v1/models?limit=2${cursor === null ? '' : `&cursor=${cursor}`}`)
      expect(page.json().items.length).toBeLessThanOrEqual(2)
      seen.push(...page.json().items.map(({ name }: { name: string }) => name))
      cursor = page.json().nextCursor
    } while (cursor !== null)
    expect(whole.nextCursor).toBeNull()
    expect(seen).toEqual(whole.items.map(({ name }: { name: string }) => name))
    expect(seen.slice(-3)).toEqual(names)
  })

  it.each(['limit=0', 'limit=201', 'limit=x', 'limit=1.5', 'cursor=', 'cursor=%00', 'page=2'])(
    'refuses the query %s',
    async (query) => {
      const answer = await test.request('GET', `/v1/models?${query}`)
      expect(answer.statusCode).toBe(400)
      expect(answer.json()).toMatchObject({ code: 'REQUEST_INVALID', errors: [{ in: 'query' }] })
    },
  )
})

describe('policy files', () => {
  const dense = { kvGroups: 3, ffnChannels: 512 }
  const policy = (keep: readonly object[], more: object = {}) => ({
    ...{ format: 'espalier-policy/1', metric: 'wanda', compensation: 'mean', keep },
    ...more,
  })
  const check = async (payload: object) => {
    const { id } = (await createModel({ path: demoModel })).json()
    return test.request('POST', `/v1/models/${id}/policies/check`, { payload })
  }

  it('gives the sparsity of a policy, by counts and by indices', async () => {
    const keep = Array.from({ length: 8 }, () => ({ kvGroups: [0, 2], ffnChannels: 256 }))
    const answer = await check(policy(keep))
    expect(answer.statusCode).toBe(200)
    const kept = 8 * (2 * 6 * 32 * 192 + 256 * 3 * 192)
    expect(answer.json()).toMatchObject({ keptParameters: kept, modelHashChecked: false })
    expect(answer.json().sparsity).toBeCloseTo(1 - kept / answer.json().prunableParameters, 12)
    expect(answer.json().keptUnits).toEqual(Array.from({ length: 8 }, () => [2, 256]).flat())
  })

  it.each([
    ['with too few layers', policy([dense]), 422, 'POLICY_LAYER_COUNT'],
    [
      'with more units than there are',
      policy(Array(8).fill({ ...dense, kvGroups: 4 })),
      422,
      'POLICY_UNIT_OUT_OF_RANGE',
    ],
    [
      'with a unit that is not there',
      policy(Array(8).fill({ ...dense, kvGroups: [3] })),
      422,
      'POLICY_UNIT_OUT_OF_RANGE',
    ],
    ['with a unit twice', policy(Array(8).fill({ ...dense, kvGroups: [1, 1] })), 422, 'POLICY_INVALID'],
    ['of another format', { ...policy(Array(8).fill(dense)), format: 'espalier-policy/2' }, 400, 'REQUEST_INVALID'],
    ['with a negative count', policy(Array(8).fill({ ...dense, kvGroups: -1 })), 400, 'REQUEST_INVALID'],
  ])('refuses one %s', async (_, payload, status, code) => {
    const answer = await check(payload)
    expect(answer.json()).toMatchObject({ status, code })
  })

  it('refuses one that was made for another model', async () => {
    const { id } = (await createModel({ path: demoModel })).json()
    await test.sql(`UPDATE "Model" SET hash = '${'a'.repeat(64)}' WHERE id = '${id}'`)
    const payload = policy(Array(8).fill(dense), { modelHash: 'b'.repeat(64) })
    const answer = await test.request('POST', `/v1/models/${id}/policies/check`, { payload })
    expect(answer.json()).toMatchObject({ code: 'POLICY_OTHER_MODEL', status: 422 })
  })
})

describe('uploads', () => {
  const upload = (name: string, file: string, payload: Buffer) =>
    test.request('PUT', `/v1/uploads/${name}/${file}`, {
      payload,
      headers: { 'content-type': 'application/octet-stream' },
    })

  it('takes the files of a model and registers it', async () => {
    for (const file of modelFiles) {
      const payload = await readFile(join(demoModel, file))
      const answer = await upload('mine', file, payload)
      expect(answer.json()).toMatchObject({ upload: 'mine', file, bytes: payload.length })
    }
    const model = await createModel({ upload: 'mine' })
    expect(model.statusCode).toBe(201)
    expect(model.json()).toMatchObject({ name: 'mine', shape: { layers: 8 } })
  })

  it('says what an incomplete upload lacks without the folders of the server', async () => {
    await upload('half', 'config.json', await readFile(join(demoModel, 'config.json')))
    const answer = await createModel({ upload: 'half' })
    expect(answer.statusCode).toBe(422)
    expect(answer.body).not.toContain(test.home)
    const missing = await createModel({ upload: 'missing' })
    expect(missing.statusCode).toBe(404)
    expect(missing.body).not.toContain(test.home)
  })

  it.each(['..%2Fconfig.json', 'model.bin', '.config.json', 'a%2Fb.json', 'tokenizer.model.exe', '..'])(
    'refuses the file name %s',
    async (file) => {
      const answer = await upload('mine', file, Buffer.from('{}'))
      expect([400, 404]).toContain(answer.statusCode)
      expect(answer.headers['content-type']).toBe('application/problem+json')
    },
  )

  it('refuses a file over the limit, announced or not, and keeps nothing of it', async () => {
    const announced = await upload('large', 'model.safetensors', Buffer.alloc(maxUploadBytes + 1))
    expect(announced.json()).toMatchObject({ code: 'REQUEST_TOO_LARGE', status: 413 })
    await test.api.listen({ host: '127.0.0.1', port: 0 })
    const { port } = test.api.server.address() as AddressInfo
    expect(await sendChunked(port, maxUploadBytes + 1)).toBe(413)
    expect(await readdir(join(test.services.uploads, test.teamId, 'large'))).toEqual([])
  })

  /** Status of an upload whose length is not announced. */
  function sendChunked(port: number, bytes: number): Promise<number | undefined> {
    return new Promise((resolve, reject) => {
      const path = '/v1/uploads/large/model.safetensors'
      const headers = { authorization: `Bearer ${test.key}`, 'transfer-encoding': 'chunked' }
      const client = httpRequest({ host: '127.0.0.1', port, path, method: 'PUT', headers }, (answer) => {
        answer.resume()
        resolve(answer.statusCode)
      })
      client.on('error', reject)
      client.end(Buffer.alloc(bytes))
    })
  }
})
