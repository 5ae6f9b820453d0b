import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { createQueue } from '@espalier/queue'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'

const wikitext = join(import.meta.dirname, '../../../../../packages/text-data/fixtures/wikitext')

let test: TestApi
let model: string
beforeAll(async () => {
  test = await createTestApi()
  model = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json().id
})
afterAll(() => test.close())

const submit = (payload: object) => test.request('POST', '/v1/searches', { payload: { model, ...payload } })

describe('submitting a search', () => {
  it('accepts it with its defaults and the texts of the model, and shows why it waits', async () => {
    const answer = await submit({})
    expect(answer.statusCode).toBe(202)
    const search = answer.json()
    expect(answer.headers.location).toBe(`/v1/searches/${search.id}`)
    expect(search).toMatchObject({
      state: 'QUEUED',
      waitReason: 'waiting: the dispatcher has not taken it up yet',
      model: { id: model, name: 'demo' },
      settings: { targets: [0.2, 0.35, 0.5], budget: 99, seed: 1, windowLength: 256, exports: ['onnx', 'huggingface'] },
      best: [0.2, 0.35, 0.5].map((sparsityTarget) => ({
        sparsityTarget,
        bestPerplexity: null,
        uniformPerplexity: null,
      })),
      progress: null,
      result: null,
    })
    expect(search.settings.texts.test).toBe(join(demoModel, 'texts/test.txt'))
    expect((await test.request('GET', answer.headers.location as string)).json()).toEqual({ ...search, steps: [] })
  })

  it('wakes the dispatcher', async () => {
    const queue = createQueue({ databaseUrl: test.databaseUrl })
    try {
      const woken = new Set<string>()
      queue.listen('dispatcher', 1, async (id) => {
        woken.add(id)
      })
      const { id } = (await submit({})).json()
      for (let i = 0; i < 100 && !woken.has(id); i++) await setTimeout(50)
      expect(woken).toContain(id)
    } finally {
      await queue.close()
    }
  })

  it.each([
    ['sparsity 0', { targets: [0.2, 0] }, '/targets/1'],
    ['sparsity 1', { targets: [1] }, '/targets/0'],
    ['sparsity NaN, which JSON turns into null', { targets: [Number.NaN] }, '/targets/0'],
    ['sparsity "NaN"', { targets: ['NaN'] }, '/targets/0'],
    ['no sparsity', { targets: [] }, '/targets'],
    ['a sparsity twice', { targets: [0.2, 0.2] }, '/targets/1'],
    ['budget 0', { budget: 0 }, '/budget'],
    ['a budget below the baselines', { budget: 3 }, '/budget'],
    ['half an evaluation', { budget: 10.5 }, '/budget'],
    ['an unknown field', { sparsity: 0.5 }, '/sparsity'],
    ['an unknown field within', { texts: { train: '/x' } }, '/texts/train'],
    ['an unknown agent', { agent: 'oracle' }, '/agent'],
    ['a seed beyond 32 bits', { seed: 2 ** 32 }, '/seed'],
    ['a relative text', { texts: { test: 'test.txt' } }, '/texts/test'],
    ['a resource nobody knows', { targets: [{ resource: 'joy', ratio: 0.5 }] }, '/targets/0'],
    ['an amount with a wrong unit', { targets: [{ resource: 'flops', atMost: '6GB' }] }, '/targets/0/atMost'],
    [
      'a target twice',
      { targets: [0.2, { resource: 'flops', ratio: 0.5 }, { resource: 'flops', ratio: 0.5 }] },
      '/targets/2',
    ],
    ['a frozen layer that is not there', { constraints: { freezeLayers: [1, 8] } }, '/constraints/freezeLayers/1'],
    ['no model', { model: undefined }, '/model'],
  ])('refuses %s and says where', async (_, payload, path) => {
    const answer = await submit(payload)
    expect(answer.statusCode).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({ code: 'REQUEST_INVALID', errors: [{ in: 'body', path }] })
  })

  it('gives the value that is wrong and all that is wrong', async () => {
    const { errors } = (await submit({ targets: [0.2, 1.5], budget: 0, colour: 'red' })).json()
    expect(errors).toEqual([
      { in: 'body', path: '/targets/1', message: expect.stringContaining('<1'), value: 1.5 },
      { in: 'body', path: '/budget', message: expect.stringContaining('>=1'), value: 0 },
      { in: 'body', path: '/colour', message: 'is not a known field' },
    ])
  })

  it('refuses an unknown model', async () => {
    const answer = await submit({ model: 'mod_unknown' })
    expect(answer.json()).toMatchObject({ code: 'MODEL_NOT_FOUND', status: 404 })
  })

  it('refuses windows longer than the model and sparsities that cannot be reached', async () => {
    const window = await submit({ windowLength: 1025 })
    expect(window.json()).toMatchObject({ code: 'MODEL_WINDOW_TOO_LONG', status: 422, details: { allowed: [2, 1024] } })
    const sparsity = await submit({ targets: [0.99999] })
    expect(sparsity.json()).toMatchObject({ code: 'SPARSITY_UNREACHABLE', status: 422, details: { value: 0.99999 } })
  })

  it('refuses constraints that contradict each other with the smallest set that does', async () => {
    const constraints = { freezeLayers: [0, 1], only: 'attention', channelMultiple: 64 }
    const answer = await submit({ targets: [0.2, 0.5], constraints })
    expect(answer.statusCode).toBe(422)
    expect(answer.json()).toMatchObject({
      code: 'CONSTRAINTS_CONTRADICTORY',
      details: { conflict: [{ path: '/constraints/only' }, { path: '/targets/1' }], resource: 'prunable-parameters' },
    })
    const targets = [
      { resource: 'weight-bytes', atMost: '5.5MB' },
      { resource: 'latency', ratio: 0.7 },
    ]
    const accepted = await submit({ targets, constraints: { channelMultiple: 64 } })
    expect(accepted.statusCode).toBe(202)
    expect(accepted.json().settings).toMatchObject({ targets, constraints: { channelMultiple: 64 } })
    expect(accepted.json().best).toMatchObject(targets.map((target) => ({ target, sparsityTarget: null })))
  })

  it('refuses texts that are not there or shorter than one window', async () => {
    const missing = await submit({ texts: { validation: '/no/such/text.txt' } })
    expect(missing.json()).toMatchObject({ code: 'TEXT_NOT_FOUND', status: 422, details: { split: 'validation' } })
    const folder = await submit({ texts: { validation: test.home } })
    expect(folder.json()).toMatchObject({ code: 'TEXT_NOT_FOUND', status: 422 })

    // more bytes than a window has tokens, and fewer tokens
    const short = join(test.home, 'short.txt')
    await writeFile(short, 'It was the best of times. '.repeat(14))
    const answer = await submit({ texts: { test: short } })
    expect(answer.json()).toMatchObject({ code: 'TEXT_TOO_SHORT', status: 422, details: { split: 'test' } })
    const { tokens } = answer.json().details
    expect(tokens).toBeGreaterThan(14)
    expect(tokens).toBeLessThan(256)
    expect((await submit({ texts: { test: short }, windowLength: tokens })).statusCode).toBe(202)
    expect((await submit({ texts: { test: short }, windowLength: tokens + 1 })).statusCode).toBe(422)

    const binary = join(test.home, 'binary.txt')
    await writeFile(binary, Buffer.concat([Buffer.alloc(10_000, 'text '), Buffer.from([0xff])]))
    expect((await submit({ texts: { test: binary }, windowLength: 1024 })).json()).toMatchObject({
      ...{ code: 'TEXT_INVALID', status: 422, details: { split: 'test', byteOffset: 10_000 } },
    })

    const empty = join(test.home, 'empty.txt')
    await writeFile(empty, '')
    expect((await submit({ texts: { test: empty } })).json()).toMatchObject({ code: 'TEXT_TOO_SHORT' })
  })

  it('takes the rows of a data set for a text, and names the line of a bad one', async () => {
    const rows = join(test.home, 'rows.jsonl')
    await writeFile(rows, `${JSON.stringify({ body: 'It was the best of times. '.repeat(99) })}\n`.repeat(9))
    const answer = await submit({ texts: { test: `${rows}#body`, calibration: `${wikitext}::test` } })
    expect(answer.statusCode).toBe(202)
    expect(answer.json().settings.texts.test).toBe(`${rows}#body`)

    const noField = await submit({ texts: { test: rows } })
    expect(noField.json()).toMatchObject({ code: 'TEXT_INVALID', status: 422, details: { split: 'test', line: 1 } })
    const short = await submit({ texts: { test: `${wikitext}::test#text&rows=2` } })
    expect(short.json()).toMatchObject({ code: 'TEXT_TOO_SHORT', status: 422 })
  })

  it('refuses a model whose folder has lost its texts', async () => {
    const path = join(test.home, 'moving')
    await mkdir(join(path, 'texts'), { recursive: true })
    for (const file of ['config.json', 'model.safetensors', 'tokenizer.json'])
      await cp(join(demoModel, file), join(path, file))
    await cp(join(demoModel, 'texts'), join(path, 'texts'), { recursive: true })
    const moving = (await test.request('POST', '/v1/models', { payload: { path } })).json()
    await rm(join(path, 'texts/test.txt'))
    const answer = await submit({ model: moving.id })
    expect(answer.json()).toMatchObject({ code: 'TEXT_NOT_FOUND', details: { split: 'test' } })
  })
})

describe('controlling a search', () => {
  const act = (id: string, action: string, options = {}) =>
    test.request('POST', `/v1/searches/${id}/${action}`, options)

  it('pauses, resumes and cancels, and refuses what the state does not allow', async () => {
    const { id } = (await submit({})).json()
    expect((await act(id, 'resume')).json()).toMatchObject({ code: 'SEARCH_STATE_CONFLICT', status: 409 })
    expect((await act(id, 'pause', { payload: {} })).json()).toMatchObject({
      state: 'PAUSED',
      waitReason: 'paused: it goes on when it is resumed',
    })
    expect((await act(id, 'pause')).statusCode).toBe(409)
    expect((await act(id, 'resume')).json()).toMatchObject({ state: 'QUEUED' })
    const cancelled = await act(id, 'cancel')
    expect(cancelled.json()).toMatchObject({ state: 'CANCELLED', waitReason: null })
    expect(cancelled.json().finishedAt).not.toBeNull()
    for (const action of ['cancel', 'pause', 'resume']) expect((await act(id, action)).statusCode).toBe(409)
  })

  it('takes no body that says more', async () => {
    const { id } = (await submit({})).json()
    const answer = await act(id, 'cancel', { payload: { force: true } })
    expect(answer.json()).toMatchObject({ status: 400, errors: [{ in: 'body', path: '/force' }] })
    const empty = await act(id, 'cancel', { payload: '', headers: { 'content-type': 'application/json' } })
    expect(empty.statusCode).toBe(200)
  })
})

describe('teams', () => {
  it('see nothing of each other', async () => {
    const search = (await submit({})).json()
    const { key } = await test.addTeam('other')
    const asOther = (method: 'GET' | 'POST', url: string, payload?: object) =>
      test.request(method, url, { headers: { authorization: `Bearer ${key}` }, ...(payload && { payload }) })
    for (const url of ['/v1/models', '/v1/searches']) {
      expect((await asOther('GET', url)).json()).toEqual({ items: [], nextCursor: null })
    }
    const base = `/v1/searches/${search.id}`
    const reads = ['', '/policies', '/evaluations', '/events', '/artifacts', '/artifacts/art_x/files/model.onnx']
    for (const path of reads) expect([path, (await asOther('GET', base + path)).statusCode]).toEqual([path, 404])
    for (const action of ['cancel', 'pause', 'resume']) {
      expect((await asOther('POST', `${base}/${action}`)).json()).toMatchObject({ code: 'RESOURCE_NOT_FOUND' })
    }
    expect((await asOther('GET', `/v1/models/${model}`)).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' })
    expect((await asOther('POST', '/v1/searches', { model })).json()).toMatchObject({ code: 'MODEL_NOT_FOUND' })
    // the same folder is another model for another team
    const own = await asOther('POST', '/v1/models', { path: demoModel })
    expect(own.statusCode).toBe(201)
    expect(own.json().id).not.toBe(model)
    expect((await test.request('GET', base)).json()).toMatchObject({ state: 'QUEUED' })
  })
})

describe('listing searches', () => {
  it('pages in either order', async () => {
    for (let seed = 0; seed < 5; seed++) await submit({ seed })
    const collect = async (order: string) => {
      const ids: string[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const url: string = `/v1/searches?limit=3&order=${order}${cursor === '' ? '' : `&cursor=${cursor}`}`
        const page = (await test.request('GET', url)).json()
        ids.push(...page.items.map(({ id }: { id: string }) => id))
        cursor = page.nextCursor
      }
      return ids
    }
    const oldest = await collect('oldest')
    expect(new Set(oldest).size).toBe(oldest.length)
    expect(oldest.length).toBeGreaterThanOrEqual(5)
    expect((await collect('newest')).reverse()).toEqual(oldest)
  })
})

describe('workers', () => {
  it('lists shared ones and those of the team, page by page', async () => {
    const other = await test.addTeam('workers')
    const register = (node: string, team: { teamId?: string } = {}) =>
      test.store.workers.register({ role: 'evaluator', node, pid: 1, details: { backend: 'cpu' }, ...team })
    await register('shared')
    await register('own', { teamId: test.teamId })
    await register('foreign', { teamId: other.teamId })
    const first = (await test.request('GET', '/v1/workers?limit=1')).json()
    const second = (await test.request('GET', `/v1/workers?limit=1&cursor=${first.nextCursor}`)).json()
    expect([...first.items, ...second.items].map(({ node }) => node).sort()).toEqual(['own', 'shared'])
    expect(first.items[0]).toMatchObject({ role: 'evaluator', alive: true, details: { backend: 'cpu' } })
    expect(second.nextCursor).toBeNull()
    const unknown = await test.request('GET', '/v1/workers?cursor=wor_unknown')
    expect(unknown.json()).toMatchObject({ status: 400, errors: [{ in: 'query', path: '/cursor' }] })
  })
})
