import { createHash } from 'node:crypto'
import { truncate } from 'node:fs/promises'
import { join } from 'node:path'
import {
  artifactPageSchema,
  evaluationPageSchema,
  type PolicyResource,
  policyPageSchema,
  searchEventSchema,
  searchFrontSchema,
} from '@espalier/contracts'
import { createPrunableModel, uniformPolicy } from '@espalier/pruning'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'
import { modelFile, modelHash, workOff } from './work-off.test-support.js'

const targets = [0.2, 0.5]

let test: TestApi
let url: string
beforeAll(async () => {
  test = await createTestApi()
  const model = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json()
  const method = { metric: 'wanda', compensation: 'mean' }
  const payload = { model: model.id, targets, budget: 3, agent: 'uniform', exports: ['onnx'], ...method }
  const search = (await test.request('POST', '/v1/searches', { payload })).json()
  url = `/v1/searches/${search.id}`
  await workOff(test, search.id)
})
afterAll(() => test.close())

const get = async (path: string) => (await test.request('GET', url + path)).json()

async function findUniformPolicy(sparsity: number): Promise<PolicyResource | undefined> {
  const { model } = await get('')
  const { shape } = (await test.request('GET', `/v1/models/${model.id}`)).json()
  const kept = uniformPolicy(createPrunableModel(shape), sparsity)
  const { items } = policyPageSchema.parse(await get('/policies'))
  return items.find(({ keptUnits }) => String(keptUnits) === String(kept))
}

describe('a search that has ended', () => {
  it('gives the front of what was measured: dense and both uniform policies', async () => {
    const front = searchFrontSchema.parse(await get('/front'))
    const { items } = policyPageSchema.parse(await get('/policies'))
    expect(front).toMatchObject({ windows: 16, policies: 3, speed: null })
    expect(front.size.map(({ purpose }) => purpose)).toEqual(['uniform', 'uniform', 'dense'])
    for (const { keptUnits, perplexity } of front.size) {
      const policy = items.find((item) => String(item.keptUnits) === String(keptUnits))
      expect(policy?.evaluations.filter((e) => e.split === 'validation' && e.windows === 16)).toMatchObject([
        { perplexity },
      ])
    }
    expect(front.size.at(-1)).toMatchObject({ sparsity: 0, parameters: 3_640_512, weightBytes: 7_281_024 })
  })

  it('gives progress, times, result and each policy as a file', async () => {
    const search = await get('')
    const uniform = await findUniformPolicy(0.5)
    expect(search).toMatchObject({
      state: 'SUCCEEDED',
      waitReason: null,
      progress: { fraction: 1, evaluationsDone: 3, evaluationsBudget: 3, etaSeconds: null },
      best: [{ sparsityTarget: 0.2 }, { sparsityTarget: 0.5, bestPerplexity: uniform?.bestPerplexity }],
    })
    expect(search.progress.elapsedSeconds).toBeGreaterThan(0)
    expect(search.steps.find(({ kind }: { kind: string }) => kind === 'prepare')).toMatchObject({ done: 1, pending: 0 })
    const found = search.result.targets[1]
    expect(found.policy).toMatchObject({
      format: 'espalier-policy/1',
      metric: 'wanda',
      compensation: 'mean',
      modelHash,
    })
    expect(found.keptUnits).toEqual(uniform?.keptUnits)
    // the policy that the API gives is one that the API takes, with the same sparsity
    const check = `/v1/models/${search.model.id}/policies/check`
    const checked = await test.request('POST', check, { payload: found.policy })
    expect(checked.json()).toMatchObject({
      sparsity: found.sparsity,
      keptUnits: found.keptUnits,
      modelHashChecked: true,
    })
  })

  it('lists its policies with their masks and its evaluations with how they were made', async () => {
    const { items: policies } = policyPageSchema.parse(await get('/policies'))
    const origins = ['comparison', 'comparison', 'dense', 'uniform', 'uniform']
    expect(policies.map(({ origin }) => origin).sort()).toEqual(origins)
    for (const { masks, keptUnits, bestPerplexity, sparsity, origin } of policies) {
      expect(masks.map(({ kept }) => kept)).toEqual(keptUnits)
      expect(masks.map(({ units }) => units)).toEqual(Array.from({ length: 8 }, () => [3, 512]).flat())
      // Compared on the test split alone.
      if (origin === 'comparison') expect(bestPerplexity).toBeNull()
      else expect(bestPerplexity).toBeCloseTo(Math.exp(3 + sparsity), 9)
    }
    const evaluations = []
    let cursor: string | null = ''
    while (cursor !== null) {
      const page = evaluationPageSchema.parse(await get(`/evaluations?limit=2${cursor && `&cursor=${cursor}`}`))
      evaluations.push(...page.items)
      cursor = page.nextCursor
    }
    expect(evaluations.filter(({ split }) => split === 'validation')).toHaveLength(3)
    expect(new Set(evaluations.map(({ id }) => id)).size).toBe(evaluations.length)
    expect(evaluations[0]).toMatchObject({ purpose: 'dense', sparsity: 0, protocol: { precision: 'fp32', modelHash } })
  })
})

describe('pruned models', () => {
  const firstFile = async () => {
    const { items } = artifactPageSchema.parse(await get('/artifacts'))
    return items[0]?.files[0]?.url ?? ''
  }

  it('are listed a page at a time with where they lie', async () => {
    const first = artifactPageSchema.parse(await get('/artifacts?limit=1'))
    const second = artifactPageSchema.parse(await get(`/artifacts?limit=1&cursor=${first.nextCursor}`))
    expect([...first.items, ...second.items].map(({ sparsityTarget }) => sparsityTarget)).toEqual(targets)
    expect(second.nextCursor).toBeNull()
    expect(first.items[0]).toMatchObject({ format: 'onnx', bytes: 10_000, compensationWritten: true })
    expect(first.items[0]?.directory.startsWith(test.services.artifacts)).toBe(true)
  })

  it('are sent whole, with their hash as ETag', async () => {
    const answer = await test.request('GET', await firstFile())
    expect(answer.statusCode).toBe(200)
    expect(answer.rawPayload.equals(modelFile)).toBe(true)
    const etag = `"${createHash('sha256').update(answer.rawPayload).digest('hex')}"`
    expect(answer.headers).toMatchObject({ etag, 'content-length': '10000', 'accept-ranges': 'bytes' })
    const again = await test.request('GET', await firstFile(), { headers: { 'if-none-match': etag } })
    expect([again.statusCode, again.body]).toEqual([304, ''])
  })

  it('are sent in parts, so that a download goes on where it broke off', async () => {
    const part = await test.request('GET', await firstFile(), { headers: { range: 'bytes=9995-' } })
    expect(part.statusCode).toBe(206)
    expect(part.headers).toMatchObject({ 'content-range': 'bytes 9995-9999/10000', 'content-length': '5' })
    expect(part.body).toBe('56789')
    const changed = await test.request('GET', await firstFile(), {
      headers: { range: 'bytes=5-', 'if-range': '"old"' },
    })
    expect(changed.statusCode).toBe(200)
    const outside = await test.request('GET', await firstFile(), { headers: { range: 'bytes=10000-' } })
    expect(outside.statusCode).toBe(416)
    expect(outside.headers['content-range']).toBe('bytes */10000')
    expect(outside.json()).toMatchObject({ code: 'REQUEST_RANGE_INVALID' })
  })

  it('are not sent when the file is not the one that was written, nor any other file', async () => {
    const file = await firstFile()
    const other = await test.request('GET', file.replace('model.onnx', '..%2F..%2Fsecret'))
    expect(other.json()).toMatchObject({ code: 'RESOURCE_NOT_FOUND', status: 404 })
    await truncate(join(test.services.artifacts, 'exports/0-onnx/model.onnx'), 10)
    expect((await test.request('GET', file)).json()).toMatchObject({ code: 'RESOURCE_NOT_FOUND', status: 404 })
  })
})

describe('events of a search', () => {
  const follow = (headers: Record<string, string> = {}) => test.request('GET', `${url}/events`, { headers })
  const parse = (body: string) =>
    body
      .split('\n\n')
      .filter((block) => block.startsWith('id: '))
      .map((block) => {
        const [id, type, data] = block.split('\n').map((line) => line.slice(line.indexOf(': ') + 2))
        return { id, type, event: searchEventSchema.parse(JSON.parse(data ?? '')) }
      })

  it('tell all of it, in order, and end with its end', async () => {
    const answer = await follow()
    expect(answer.headers['content-type']).toBe('text/event-stream')
    const events = parse(answer.body)
    expect(events.every(({ id, type, event }) => event.id === id && event.type === type)).toBe(true)
    const ids = events.map(({ id }) => Number(id))
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    const states = events.filter(({ type }) => type === 'state').map(({ event }) => event.data.state)
    expect(states[0]).toBe('QUEUED')
    expect(states.at(-1)).toBe('SUCCEEDED')
    expect(events.filter(({ type }) => type === 'artifact')).toHaveLength(2)
    expect(events.map(({ event }) => event.terminal)).toEqual([...Array(events.length - 1).fill(false), true])
  })

  it('go on after any event that a client has, and say when there are no more', async () => {
    const events = parse((await follow()).body)
    for (const position of [0, 3, events.length - 2]) {
      const rest = parse((await follow({ 'last-event-id': events[position]?.id ?? '' })).body)
      expect(rest).toEqual(events.slice(position + 1))
    }
    const byQuery = await test.request('GET', `${url}/events?lastEventId=${events[3]?.id}`)
    expect(parse(byQuery.body)).toEqual(events.slice(4))
    const nothing = await follow({ 'last-event-id': events.at(-1)?.id ?? '' })
    expect([nothing.statusCode, nothing.body]).toEqual([204, ''])
    expect((await follow({ 'last-event-id': 'x' })).json()).toMatchObject({ status: 400, errors: [{ in: 'headers' }] })
  })
})
