import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createTestApi, demoModel, type TestApi } from './api.test-support.js'

let test: TestApi
let model: string
let search: string
beforeAll(async () => {
  test = await createTestApi({ requestsPerMinute: 1_000_000 })
  model = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json().id
  search = (await test.request('POST', '/v1/searches', { payload: { model } })).json().id
})
afterAll(() => test.close())

/** Any text, halves of surrogate pairs and control characters included. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string().map((text) => `${text}\u0000\ud800`),
)
const anyValue = fc.jsonValue({ stringUnit: 'binary', maxDepth: 3 })
const anyNumber = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(0, 1, -0, 1e308, 2 ** 53))

/** The body with some fields replaced by anything or left out, and some added. */
function disturbed(body: Record<string, unknown>) {
  const replaced = Object.entries(body).map(([key, value]) => [
    key,
    fc.oneof({ weight: 3, arbitrary: fc.constant(value) }, anyValue, anyNumber, anyText),
  ])
  return fc
    .tuple(
      fc.record(Object.fromEntries(replaced), { requiredKeys: [] }),
      fc.dictionary(anyText, anyValue, { maxKeys: 1 }),
    )
    .map(([known, unknown]) => JSON.stringify({ ...known, ...unknown }))
}

const layer = { kvGroups: 3, ffnChannels: [0, 1, 2] }
const policy = { format: 'espalier-policy/1', metric: 'wanda', compensation: 'mean', keep: Array(8).fill(layer) }

async function expectNoFailure(method: 'GET' | 'POST' | 'PUT', url: string, payload?: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const answer = await test.request(method, url, payload === undefined ? {} : { payload, headers })
  expect(answer.statusCode).toBeLessThan(500)
  if (answer.statusCode >= 400) {
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({ status: answer.statusCode, code: expect.any(String) })
  }
}

describe('whatever is sent, the service does not fail', () => {
  it('to submit a search', async () => {
    const texts = fc.record({
      test: fc.oneof(
        anyText,
        anyText.map((text) => `/${text}`),
      ),
    })
    const body = { model, targets: [0.2], budget: 99, seed: 1, windowLength: 256, finalWindows: null, name: 'fuzz' }
    const bodies = fc.oneof(
      disturbed(body),
      texts.map((given) => JSON.stringify({ model, texts: given })),
      anyText,
    )
    await fc.assert(
      fc.asyncProperty(bodies, (text) => expectNoFailure('POST', '/v1/searches', text)),
      { numRuns: 150 },
    )
  })

  it('to register a model', async () => {
    const path = anyText.map((text) => JSON.stringify({ path: `/${text}`, name: text }))
    const bodies = fc.oneof(disturbed({ path: '/no/such/model', upload: 'x', name: 'fuzz' }), path, anyText)
    await fc.assert(
      fc.asyncProperty(bodies, (text) => expectNoFailure('POST', '/v1/models', text)),
      { numRuns: 100 },
    )
  })

  it('to check a policy', async () => {
    const layers = fc.array(fc.oneof(fc.constant(layer), anyValue), { minLength: 7, maxLength: 8 })
    const bodies = fc.oneof(
      disturbed(policy),
      layers.map((keep) => JSON.stringify({ ...policy, keep })),
    )
    const url = `/v1/models/${model}/policies/check`
    await fc.assert(
      fc.asyncProperty(bodies, (text) => expectNoFailure('POST', url, text)),
      { numRuns: 100 },
    )
  })

  it('in an address or a query', async () => {
    const segment = anyText.map((text) => encodeURIComponent(text.replace(/\p{Cs}/gu, '')))
    const lists = fc.constantFrom('models', 'searches', `searches/${search}/policies`, `searches/${search}/artifacts`)
    const urls = fc.oneof(
      fc.tuple(lists, segment, segment).map(([list, limit, cursor]) => `/v1/${list}?limit=${limit}&cursor=${cursor}`),
      fc.tuple(lists, segment).map(([list, cursor]) => `/v1/${list}?cursor=${cursor}`),
      segment.map((id) => `/v1/models/${id}`),
      segment.map((id) => `/v1/searches/${id}`),
      fc.tuple(segment, segment).map(([id, name]) => `/v1/searches/${search}/artifacts/${id}/files/${name}`),
      fc.webPath().map((path) => `/v1${path}`),
    )
    await fc.assert(
      fc.asyncProperty(urls, (url) => expectNoFailure('GET', url)),
      { numRuns: 200 },
    )
  })
})
