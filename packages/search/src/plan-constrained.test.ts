import type { ModelShape, PolicyConstraints, SearchSettings, SearchTarget } from '@espalier/contracts'
import { createPolicyRules, createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { planNextSteps } from './plan-next-steps.js'
import { latenciesOf, simulateSearch } from './simulate-search.test-support.js'

const shape: ModelShape = {
  ...{ architecture: 'llama', layers: 8, hiddenSize: 192, queryHeads: 6, kvHeads: 3, headDim: 32, ffnChannels: 512 },
  ...{ vocabularySize: 2048, maxPositions: 1024, slidingWindow: null, tiedEmbeddings: true },
  ...{ attentionBiasConfigurable: true, mlpBiasConfigurable: true, parameters: 3_640_512, weightBytes: 7_281_024 },
}
const settingsOf = (targets: SearchTarget[], constraints: PolicyConstraints): SearchSettings => ({
  ...{ targets, constraints, budget: 60, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean' },
  ...{ windowLength: 64, calibrationWindows: 8, validationWindows: 16, finalWindows: null, finalists: 3 },
  ...{ minimumImprovement: 0, texts: { calibration: 'c', validation: 'v', test: 't' }, exports: ['onnx'] },
})

describe('a search under constraints', () => {
  it.each<[string, SearchTarget[], PolicyConstraints]>([
    ['multiples and frozen layers', [0.2, 0.4], { channelMultiple: 64, freezeLayers: [0, 7] }],
    ['only attention', [{ resource: 'kv-bytes', ratio: 0.5 }], { only: 'attention' }],
    ['only the feed-forward blocks', [0.3], { only: 'ffn', channelMultiple: 8 }],
    [
      'bytes and a time',
      [{ resource: 'weight-bytes', atMost: '5.5MB' }],
      { limits: [{ resource: 'latency', ratio: 0.7 }] },
    ],
    ['a time', [{ resource: 'latency', ratio: 0.5 }, 0.3], { wholeBlockDrop: 'any' }],
  ])('measures only allowed policies and reports one at every target: %s', (_name, targets, constraints) => {
    const settings = settingsOf(targets, constraints)
    const rules = createPolicyRules(shape, settings, latenciesOf(shape))
    const { steps, plan } = simulateSearch({ shape, settings, order: createRandomGenerator(3) })
    expect(plan.state).toBe('SUCCEEDED')
    expect(plan.result?.evaluations.total).toBeGreaterThan(45)
    for (const step of steps) {
      if (step.kind !== 'evaluate' || step.payload.purpose === 'dense') continue
      const { keptUnits, targetIndex, purpose } = step.payload
      if (targetIndex !== null) expect(rules.targets[targetIndex]?.allowed?.has(keptUnits)).toBe(true)
      else if (purpose === 'probe') expect(rules.allowed?.has(keptUnits)).toBe(true)
    }
    expect(plan.result?.targets.map(({ target }) => target ?? null)).toEqual(
      targets.map((target) => (typeof target === 'number' ? null : target)),
    )
    plan.result?.targets.forEach(({ keptUnits, sparsityTarget }, index) => {
      expect(rules.targets[index]?.allowed?.has(keptUnits)).toBe(true)
      expect(sparsityTarget).toBe(rules.targets[index]?.sparsity)
    })
  })

  it('spends no probe on what stays whole', () => {
    const probesOf = (constraints: PolicyConstraints) => {
      const { steps } = simulateSearch({
        ...{ shape, settings: settingsOf([0.2], constraints), order: createRandomGenerator(3) },
      })
      return steps.flatMap((step) =>
        step.kind === 'evaluate' && step.payload.purpose === 'probe' ? [step.payload.keptUnits] : [],
      )
    }
    expect(probesOf({ channelMultiple: 64 })).toHaveLength(16)
    const probes = probesOf({ only: 'ffn', freezeLayers: [0], channelMultiple: 64 })
    expect(probes).toHaveLength(7)
    for (const kept of probes) expect(kept.filter((count, m) => count < (m % 2 ? 512 : 3))).toEqual([256])
  })

  it('tries every metric on the uniform policy of the middle target by sparsity, once the times are known', () => {
    const targets: SearchTarget[] = [0.5, { resource: 'latency', ratio: 0.9 }, 0.3]
    const settings: SearchSettings = { ...settingsOf(targets, { channelMultiple: 8 }), metric: 'auto' }
    const rules = createPolicyRules(shape, settings, latenciesOf(shape))
    const [slow, middle, sparse] = rules.targets.toSorted((a, b) => a.sparsity - b.sparsity)
    expect([slow, middle, sparse]).toEqual([rules.targets[1], rules.targets[2], rules.targets[0]])
    const { steps, plan } = simulateSearch({
      ...{ shape, settings, order: createRandomGenerator(3) },
      penaltyOf: ({ metric }) => (metric === 'magnitude' ? 0 : 0.1),
    })
    expect(plan.state).toBe('SUCCEEDED')
    expect(plan.result?.method).toMatchObject({ metric: 'magnitude', compensation: 'mean' })
    expect(plan.result?.method?.trials.map(({ sparsityTarget }) => sparsityTarget)).toEqual([0.3, 0.3, 0.3])
    const trials = steps.flatMap((step) =>
      step.kind === 'evaluate' && step.payload.purpose === 'trial' ? [step.payload] : [],
    )
    expect(trials).toHaveLength(3)
    for (const { keptUnits, targetIndex } of trials) {
      expect(targetIndex).toBe(2)
      expect(keptUnits).toEqual(middle?.uniform())
    }
    const proposals = steps.flatMap((step) => (step.kind === 'propose' ? [step.payload.method] : []))
    for (const method of proposals) expect(method).toEqual({ metric: 'magnitude', compensation: 'mean' })
    expect(proposals.length).toBeGreaterThan(0)
  })

  it('has no sparsity for a time before it was measured', () => {
    const settings = settingsOf([{ resource: 'latency', ratio: 0.5 }], {})
    const { progress } = planNextSteps({ settings, shape, steps: [] })
    expect(progress.targets).toEqual([
      { ...{ sparsityTarget: null, target: settings.targets[0], bestPerplexity: null, uniformPerplexity: null } },
    ])
  })
})
