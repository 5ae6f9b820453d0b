import { type AddressInfo, connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, type TestApi } from './api.test-support.js'

let test: TestApi
let port: number
beforeAll(async () => {
  test = await createTestApi({ requestTimeoutMs: 300 })
  await test.api.listen({ host: '127.0.0.1', port: 0 })
  port = (test.api.server.address() as AddressInfo).port
})
afterAll(() => test.close())

/** Everything that the service answers to these bytes until it closes the connection. */
function send(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

describe('connections', () => {
  it('answers a body that does not arrive with 408 and closes the connection', async () => {
    const head = `POST /v1/searches HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${test.key}\r\n`
    const answer = await send(`${head}content-type: application/json\r\ncontent-length: 100\r\n\r\n{"model":`)
    expect(answer).toMatch(/^HTTP\/1.1 408 /)
    expect(answer).toContain('application/problem+json')
    expect(answer).toContain('"code":"REQUEST_TIMEOUT"')
  })

  it.each([
    ['no HTTP', 'HELLO\r\n\r\n', 400, 'REQUEST_MALFORMED'],
    ['headers without end', `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, 413, 'REQUEST_TOO_LARGE'],
  ])('answers %s with a problem', async (_, text, status, code) => {
    const [head = '', body = ''] = (await send(text)).split('\r\n\r\n')
    expect(head).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect(head).toContain('content-type: application/problem+json')
    expect(JSON.parse(body)).toMatchObject({ status, code })
  })
})
