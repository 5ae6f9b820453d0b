import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { ModelResource, SearchDetailResource } from '@espalier/contracts'
import { openModel } from '@espalier/model-graph'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { FakeHub } from '../packages/model-hub/src/fake-hub.test-support.js'
import { readDemoModel } from '../packages/model-hub/src/models.test-support.js'
import { createHome, type RunningService, startService, submitSearch, until, untilEnded } from './running-service.js'

const commit = 'c0ffee00'.repeat(5)
const demo = resolve(import.meta.dirname, '../models/demo')
const text = (name: string) => join(demo, 'texts', `${name}.txt`)
const texts = {
  calibration: text('calibration'),
  validation: text('validation'),
  test: 'hf://datasets/acme/texts/test.txt',
}

describe('a search of a model of the hub', () => {
  let hub: FakeHub
  let service: RunningService
  beforeAll(async () => {
    const repository = { type: 'model', commits: { [commit]: readDemoModel() }, refs: { main: commit } } as const
    const testText = { 'test.txt': readFileSync(text('test')) }
    hub = await FakeHub.start(
      { ...repository, id: 'acme/demo' },
      { ...repository, id: 'acme/denied' },
      { ...repository, type: 'dataset', id: 'acme/texts', commits: { [commit]: testText } },
    )
    const home = createHome()
    service = await startService(home, { HF_ENDPOINT: hub.endpoint, HF_HOME: join(home, 'hf'), HF_TOKEN: '' })
  }, 120_000)
  afterAll(async () => {
    await service?.stop()
    await hub?.stop()
  })

  const submit = async (source: string) => {
    const { status, body } = await service.post<ModelResource>('/v1/models', { source })
    expect(status).toBe(201)
    const small = { budget: 12, targets: [0.3], seed: 1, exports: [] }
    return { model: body, id: await submitSearch(service, { ...small, model: body.id, texts }) }
  }

  it('says how far the download is, goes on after kill -9, and prepares the very model', async () => {
    hub.fault = ({ server }) => (server === 'cdn' ? { stallAfter: 4_000_000 } : null)
    const { model, id } = await submit('hf://acme/demo')
    let reason = ''
    await until(60_000, async () => {
      reason = (await service.get<SearchDetailResource>(`/v1/searches/${id}`)).waitReason ?? ''
      return reason.startsWith('downloading')
    })
    expect(reason).toMatch(/^downloading model hf:\/\/acme\/demo@main: \d+\.\d of \d+\.\d MB/)
    // Longer than a lease: who waits for bytes keeps it.
    await new Promise((done) => setTimeout(done, 6_000))
    expect((await service.get<SearchDetailResource>(`/v1/searches/${id}`)).steps).toMatchObject([{ running: 1 }])
    expect(hub.take().filter(({ server }) => server === 'cdn')).toHaveLength(1)

    process.kill(await service.pidOf('evaluator'), 'SIGKILL')
    hub.fault = () => null
    const search = await untilEnded(service, id)
    expect(search).toMatchObject({ state: 'SUCCEEDED', error: null, waitReason: null })
    const [resumed, ...others] = hub.take().filter(({ server }) => server === 'cdn')
    expect(others).toEqual([])
    expect(Number(/^bytes=(\d+)-$/.exec(resumed?.range ?? '')?.[1])).toBeGreaterThan(1_000_000)

    const prepared = await service.get<ModelResource>(`/v1/models/${model.id}`)
    expect(prepared.hash).toMatch(/^[0-9a-f]{64}$/)
    expect(prepared.shape).toEqual((await openModel(demo)).shape)
  }, 200_000)

  it('fails plainly when its weights cannot be had', async () => {
    hub.fault = ({ path }) =>
      path.includes('acme/denied') && path.endsWith('model.safetensors')
        ? { status: 403, headers: { 'x-error-code': 'GatedRepo' } }
        : null
    const { id } = await submit('hf://acme/denied')
    const search = await untilEnded(service, id)
    expect(search).toMatchObject({ state: 'FAILED', error: { code: 'MODEL_ACCESS_DENIED' } })
    expect(search.error?.message).toMatch(/prepare step 0.*it is gated: accept its terms/)
  }, 200_000)
})
