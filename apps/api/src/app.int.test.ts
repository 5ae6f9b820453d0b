import { createStore } from '@espalier/store'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { Validator } from '@seriousme/openapi-schema-validator'
import { createTestApi, type TestApi } from './api.test-support.js'

let test: TestApi
beforeAll(async () => {
  test = await createTestApi()
})
afterAll(() => test.close())

const addresses = [
  'GET /healthz',
  'GET /problems/{type}',
  'GET /readyz',
  'GET /v1/models',
  'GET /v1/models/{id}',
  'GET /v1/searches',
  'GET /v1/searches/{id}',
  'GET /v1/searches/{id}/artifacts',
  'GET /v1/searches/{id}/artifacts/{artifactId}/files/{name}',
  'GET /v1/searches/{id}/evaluations',
  'GET /v1/searches/{id}/events',
  'GET /v1/searches/{id}/front',
  'GET /v1/searches/{id}/policies',
  'GET /v1/workers',
  'POST /v1/models',
  'POST /v1/models/{id}/policies/check',
  'POST /v1/searches',
  'POST /v1/searches/{id}/cancel',
  'POST /v1/searches/{id}/pause',
  'POST /v1/searches/{id}/policies:generate',
  'POST /v1/searches/{id}/resume',
  'PUT /v1/uploads/{upload}/{file}',
]

/** Each address as a request with made-up ids. */
const requests = addresses.map((address) => {
  const [method = '', path = ''] = address.split(' ')
  return { address, method: method as 'GET' | 'POST' | 'PUT', url: path.replace(/\{(\w+)\}/g, 'unknown.json') }
})

describe('the service itself', () => {
  it('says without a key that it is alive and ready', async () => {
    expect((await test.api.inject('/healthz')).json()).toEqual({ status: 'ok', version: '0.0.0-test' })
    expect((await test.api.inject('/readyz')).json()).toMatchObject({ status: 'ready', migrations: 'applied' })
  })

  it('gives a valid OpenAPI 3.1 document of every address, and pages to browse it', async () => {
    const document = (await test.api.inject('/openapi.json')).json()
    expect(document.openapi).toBe('3.1.0')
    expect(await new Validator().validate(document)).toEqual({ valid: true })
    const listed = Object.entries<object>(document.paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
    )
    expect(listed.sort()).toEqual(addresses)
    const page = await test.api.inject('/docs/')
    expect(page.statusCode).toBe(200)
    expect(page.body).toContain('swagger-ui')
  })
})

describe('who may ask', () => {
  const protectedRequests = requests.filter(({ url }) => url.startsWith('/v1/'))

  it.each(protectedRequests)('$address needs a key', async ({ method, url }) => {
    const answer = await test.api.inject({ method, url })
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="espalier"')
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({ code: 'AUTHENTICATION_REQUIRED', status: 401, instance: url })
  })

  it.each([
    ['an unknown key', 'Bearer esp_unknown'],
    ['another scheme', 'Basic dXNlcjpwYXNz'],
    ['a key without scheme', 'esp_unknown'],
    ['an empty bearer', 'Bearer '],
  ])('refuses %s', async (_, authorization) => {
    const answer = await test.api.inject({ url: '/v1/models', headers: { authorization } })
    expect(answer.statusCode).toBe(401)
    expect(answer.headers['www-authenticate']).toContain('error="invalid_token"')
    expect(answer.json()).toMatchObject({ code: 'AUTHENTICATION_FAILED' })
  })

  it('limits the requests of a key, not of others', async () => {
    const limited = await createTestApi({ requestsPerMinute: 2 })
    try {
      const statuses = []
      for (let i = 0; i < 3; i++) statuses.push((await limited.request('GET', '/v1/models')).statusCode)
      expect(statuses).toEqual([200, 200, 429])
      const refused = await limited.request('GET', '/v1/models')
      expect(refused.json()).toMatchObject({ code: 'REQUEST_RATE_LIMITED', status: 429 })
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
      const other = await limited.addTeam('other')
      const headers = { authorization: `Bearer ${other.key}` }
      expect((await limited.request('GET', '/v1/models', { headers })).statusCode).toBe(200)
    } finally {
      await limited.close()
    }
  })
})

describe('errors', () => {
  it.each(requests.filter(({ url }) => url.includes('/v1/') && url.includes('unknown')))(
    '$address with unknown ids is a problem',
    async ({ method, url }) => {
      const payload = method === 'PUT' ? 'x' : undefined
      const answer = await test.request(method, url.replaceAll('unknown.json', 'unknown'), {
        ...(payload && { payload }),
      })
      expect([400, 404]).toContain(answer.statusCode)
      expect(answer.headers['content-type']).toBe('application/problem+json')
    },
  )

  it('knows an address that does not exist from a method that is not allowed', async () => {
    const unknown = await test.request('GET', '/v1/nothing?x=1')
    expect(unknown.statusCode).toBe(404)
    expect(unknown.json()).toMatchObject({ code: 'ROUTE_NOT_FOUND', instance: '/v1/nothing' })
    const method = await test.request('PUT', '/v1/models')
    expect(method.statusCode).toBe(405)
    expect(method.headers.allow).toBe('POST, GET, HEAD')
    expect(method.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED' })
  })

  it('refuses addresses that are no addresses', async () => {
    const answer = await test.request('GET', '/v1/models/%E0%A4%A')
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_MALFORMED' })
    const long = await test.request('GET', `/v1/models/${'x'.repeat(2000)}`)
    expect(long.statusCode).toBeLessThan(500)
    expect(long.headers['content-type']).toBe('application/problem+json')
  })

  it('says where JSON is malformed', async () => {
    const payload = '{"model": "x", "targets": [NaN]}'
    const answer = await test.request('POST', '/v1/searches', {
      payload,
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_MALFORMED', type: '/problems/request-malformed' })
    expect(answer.json().detail).toContain("'N'")
  })

  it('refuses a body of 10 MB', async () => {
    const payload = JSON.stringify({ model: 'x'.repeat(10 * 1024 * 1024) })
    const answer = await test.request('POST', '/v1/searches', {
      payload,
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.statusCode).toBe(413)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_TOO_LARGE', details: { allowedBytes: 1024 * 1024 } })
  })

  it.each(['text/plain', 'application/xml', undefined])('refuses a body of media type %s', async (mediaType) => {
    const answer = await test.request('POST', '/v1/searches', {
      payload: Buffer.from('{}'),
      headers: mediaType === undefined ? {} : { 'content-type': mediaType },
    })
    expect(answer.statusCode).toBe(415)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_MEDIA_TYPE', details: { allowed: ['application/json'] } })
  })

  it('refuses keys that would change prototypes', async () => {
    const answer = await test.request('POST', '/v1/searches', {
      payload: '{"model":"x","__proto__":{"admin":true}}',
      headers: { 'content-type': 'application/json' },
    })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({ code: 'REQUEST_MALFORMED' })
  })

  it('explains the type of a problem', async () => {
    const { type } = (await test.request('GET', '/nowhere')).json()
    expect((await test.api.inject(type)).json()).toEqual({
      code: 'ROUTE_NOT_FOUND',
      status: 404,
      title: 'There is nothing at this address',
      retryable: false,
    })
  })

  it('keeps the inside of an unexpected error to itself and gives the id that the log has', async () => {
    await test.sql('ALTER TABLE "Model" RENAME TO "Elsewhere"')
    const answer = await test.request('GET', '/v1/models')
    await test.sql('ALTER TABLE "Elsewhere" RENAME TO "Model"')
    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toMatchObject({ code: 'INTERNAL', requestId: answer.headers['x-request-id'] })
    expect(answer.body).not.toMatch(/prisma|model"|\.ts|\.js|node_modules/i)
  })

  it('tells a client to come back when the database is away', async () => {
    const store = createStore({ databaseUrl: 'postgresql://127.0.0.1:1/away' })
    const away = await createTestApi({ store })
    const answer = await away.request('GET', '/v1/models')
    const ready = await away.api.inject('/readyz')
    await away.close()
    await store.close()
    expect([answer.statusCode, ready.statusCode]).toEqual([503, 503])
    expect(answer.headers['retry-after']).toBe('2')
    expect(answer.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
  })
})
