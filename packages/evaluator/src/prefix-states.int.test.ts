import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { buildEvaluationGraph, evaluationInputs, openModel } from '@espalier/model-graph'
import type { KeptIndices } from '@espalier/pruning'
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals'
import { type InferenceSession, Tensor } from 'onnxruntime-node'
import { createSession, locateWeights } from './create-session.js'
import { DenseReference } from './dense-reference.js'
import { FittingBatch } from './fit-batch.js'
import { FittedWeights } from './fitted-weights.js'
import { measurePolicy } from './measure-policy.js'
import type { PolicySession } from './policy-session.js'
import { namePrefixes, PrefixStates } from './prefix-states.js'

const directory = fileURLToPath(new URL('../../model-graph/fixtures/models/llama-gqa', import.meta.url))
const tokens = {
  ids: Int32Array.from({ length: 96 }, (_, index) => (index * 7919) % 512),
  windowLength: 32,
  windows: 3,
}
const control = { isAborted: () => false, report: () => {}, reportModule: () => {} }

describe('measuring with what an earlier policy left', () => {
  let policySession: PolicySession
  let run: jest.SpiedFunction<InferenceSession['run']>

  beforeAll(async () => {
    const model = await openModel(directory)
    const graph = buildEvaluationGraph(model, { locate: await locateWeights(model) })
    const session = await createSession(graph, { threads: 1, provider: 'cpu' })
    run = jest.spyOn(session, 'run')
    const device = { provider: 'cpu', computeBytes: 4, weights: 'stored' } as const
    const gram = { gramMemoryBytes: 2 ** 20, scratchDirectory: tmpdir() }
    policySession = {
      ...{ model, session, precision: 'fp32', fittedWeights: new FittedWeights(model, gram) },
      dense: new DenseReference(model, session, true),
      batch: new FittingBatch({ shape: model.shape, device, limitBytes: null }),
      prefixStates: new PrefixStates(2 ** 20),
    }
  })
  afterAll(() => policySession.session.release())

  /** First modules of the runs, one a batch. */
  const measure = async (keptIndices: KeptIndices, sharedModules: number[], ids = tokens.ids) => {
    run.mockClear()
    const request = { ...tokens, ids, keptIndices, sharedModules, calibration: null, calibrationKey: 'none' }
    await measurePolicy(policySession, request, 2, control)
    return run.mock.calls.map(([feeds]) => Number((feeds[evaluationInputs.firstModule] as Tensor).data[0]))
  }
  const [a, b, c] = [0, 1, 2].map((last): KeptIndices => [[0, 1], [3, 5, 7], [1], [0, last + 1], [], [2]])

  it('goes on where they part', async () => {
    expect(await measure(a ?? [], [3, 3])).toEqual([0, 0])
    expect(await measure(b ?? [], [3])).toEqual([3, 3])
    expect(await measure(c ?? [], [])).toEqual([3, 3])
  })

  it('starts anew when nothing was kept, or from another text', async () => {
    await measure(a ?? [], [])
    expect(await measure(b ?? [], [3])).toEqual([0, 0])
    expect(await measure(c ?? [], [3], tokens.ids.slice().reverse())).toEqual([0, 0])
  })

  it('changes no number, as a graph without states shows', async () => {
    const { model } = policySession
    const graph = buildEvaluationGraph(model, { locate: await locateWeights(model), resumable: false })
    const session = await createSession(graph, { threads: 1, provider: 'cpu' })
    const dense = new DenseReference(model, session, false)
    const plain: PolicySession = { ...policySession, session, dense, prefixStates: null }
    await measure(a ?? [], [3])
    const request = { ...tokens, keptIndices: b ?? [], sharedModules: [3], calibration: null, calibrationKey: 'none' }
    const compared = { ...request, compareWithDense: true }
    const resumed = await measurePolicy(policySession, compared, 2, control)
    expect({ ...resumed, seconds: 0 }).toEqual({ ...(await measurePolicy(plain, compared, 2, control)), seconds: 0 })
    expect(resumed.againstDense?.klDivergence).toBeGreaterThan(0)
    await session.release()
  })

  it('measures the same policy again from its last module on', async () => {
    await measure(a ?? [], [6])
    expect(await measure(a ?? [], [])).toEqual([5, 5])
  })
})

describe('PrefixStates', () => {
  const state = [new Tensor('float32', new Float32Array(4), [1, 2, 2])]

  it('keeps the last states where memory is short, and none without memory', () => {
    const states = new PrefixStates(250)
    expect(states.choose([1, 5, 5, 3, 0, 8], 8, 100)).toEqual([7, 5])
    expect(states.choose([1, 5], 8, 300)).toEqual([])
    expect(new PrefixStates(0).choose([1, 5], 8, 100)).toEqual([])
  })

  it('keeps what is chosen again, and lets go of all else', () => {
    const states = new PrefixStates(1000)
    states.keep(['', 'a', 'ab'], [1, 2], new Map([1, 2].map((module) => [module, state])))
    states.keep(['', 'a', 'ac'], [1], new Map())
    expect(states.find(['', 'a', 'ab'])).toEqual({ module: 1, batches: state })
    states.keep(['', 'a', 'ad'], [], new Map())
    expect(states.find(['', 'a', 'ab'])).toEqual({ module: 0, batches: [] })
  })
})

describe('the name of a prefix', () => {
  const origin = { ...tokens, batchWindows: 2, compensation: 'none' }

  it('is that of the modules before it and of all else that counts', () => {
    const names = namePrefixes(origin, [[0], [1, 2], [0]])
    expect(namePrefixes(origin, [[0], [1, 2], [1]])).toEqual(names)
    expect(namePrefixes(origin, [[0], [1], [2]]).slice(0, 2)).toEqual(names.slice(0, 2))
    expect(new Set(names).size).toBe(3)
    const changes = [{ batchWindows: 3 }, { compensation: 'mean' }, { windowLength: 16 }, { ids: tokens.ids.slice(1) }]
    for (const change of [...changes.map((each) => ({ ...origin, ...each }))]) {
      const others = namePrefixes(change, [[0], [1, 2], [0]])
      expect(others.filter((name) => names.includes(name))).toEqual([])
    }
    expect(namePrefixes(origin, [[0, 1], [2], [0]])[2]).not.toBe(names[2])
  })
})
