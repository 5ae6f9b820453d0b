import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createTestApi, demoModel, type TestApi } from '../../api.test-support.js'

let test: TestApi
let origin: string
beforeAll(async () => {
  test = await createTestApi({ events: { pollMs: 20, heartbeatMs: 100 } })
  await test.api.listen({ host: '127.0.0.1', port: 0 })
  origin = `http://127.0.0.1:${(test.api.server.address() as AddressInfo).port}`
})
afterAll(() => test.close())

async function submit(): Promise<string> {
  const model = (await test.request('POST', '/v1/models', { payload: { path: demoModel } })).json().id
  return (await test.request('POST', '/v1/searches', { payload: { model } })).json().id
}

/** Reads a stream over HTTP as it comes. */
async function open(searchId: string) {
  const abort = new AbortController()
  const headers = { authorization: `Bearer ${test.key}` }
  const answer = await fetch(`${origin}/v1/searches/${searchId}/events`, { headers, signal: abort.signal })
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  return {
    abort,
    /** All that has come, once it holds this; all of the stream when it does not. */
    async until(wanted: string): Promise<string> {
      while (!text.includes(wanted)) {
        const chunk = await reader?.read()
        if (!chunk || chunk.done) break
        text += chunk.value
      }
      return text
    },
  }
}

describe('following a search that runs', () => {
  it('sends events as they happen, keeps a silent stream open and ends at the end', async () => {
    const id = await submit()
    const stream = await open(id)
    expect(await stream.until('"state":"QUEUED"')).toMatch(/^retry: \d+\n\n/)
    await stream.until(': still here')
    await test.store.events.append(id, { type: 'note', data: { text: 'hello\nworld' } })
    expect(await stream.until('event: note')).toContain('still here')
    expect(await stream.until('hello\\nworld')).toContain('event: note\ndata: {')
    await test.request('POST', `/v1/searches/${id}/cancel`)
    const whole = await stream.until('never sent')
    expect(whole.trimEnd().split('\n\n').at(-1)).toContain('"state":"CANCELLED"')
  })

  it('stops looking when the client goes, and lets the service stop while a client stays', async () => {
    const id = await submit()
    const gone = await open(id)
    await gone.until('QUEUED')
    gone.abort.abort()
    const stays = await open(id)
    await stays.until('QUEUED')
    const started = Date.now()
    await test.api.close()
    expect(Date.now() - started).toBeLessThan(3_000)
    expect(await stays.until('never sent')).not.toContain('CANCELLED')
  })
})
