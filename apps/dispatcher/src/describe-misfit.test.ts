import type { WorkerRow } from '@espalier/store'
import { describe, expect, it } from '@jest/globals'
import { describeMisfit, type LiveEvaluator, liveEvaluatorsOf } from './describe-misfit.js'

const needs = { memory: { cpu: 28e9, cpuWithFp32Weights: 56e9, cuda: 16.2e9 }, precision: 'bf16' } as const
const card: LiveEvaluator = {
  ...{ node: 'gpu-7', provider: 'cuda', memoryBytes: 8e9 },
  precisions: ['fp32', 'fp16', 'bf16'],
}
const host: LiveEvaluator = { node: 'cpu-1', provider: 'cpu', memoryBytes: 16e9, precisions: ['fp32', 'fp16'] }

describe('describeMisfit', () => {
  it('says what every evaluator has and what the model needs there', () => {
    expect(describeMisfit(needs, [card, host])).toBe(
      'no evaluator has the memory for this model: gpu-7 (cuda) has 8.0 of the 16.2 GB needed, cpu-1 (cpu) has 16.0 of the 28.0 GB needed',
    )
  })

  it('says that only the precision is missing', () => {
    expect(describeMisfit(needs, [card, { ...host, memoryBytes: 64e9 }])).toBe(
      'no evaluator with the memory computes in bf16, in which it was prepared',
    )
  })

  it('counts weights twice for an evaluator that converts them all', () => {
    const large = { ...host, memoryBytes: 40e9 }
    const anyPrecision = { ...needs, precision: null }
    expect(describeMisfit(anyPrecision, [large])).toBeNull()
    expect(describeMisfit(anyPrecision, [{ ...large, weights: 'fp32' }])).toBe(
      'no evaluator has the memory for this model: cpu-1 (cpu) has 40.0 of the 56.0 GB needed',
    )
  })

  it('says nothing when one can do it, when its memory is not known, or when none is there', () => {
    expect(describeMisfit(needs, [host, { ...card, memoryBytes: 24e9 }])).toBeNull()
    expect(describeMisfit(needs, [{ ...card, memoryBytes: null }])).toBeNull()
    expect(describeMisfit({ ...needs, precision: null }, [{ ...host, memoryBytes: 28e9 }])).toBeNull()
    expect(describeMisfit(needs, [])).toBeNull()
  })
})

it('takes evaluators that are alive and tell their capacity', () => {
  const row: WorkerRow = {
    ...{ id: 'wor_1', teamId: null, pid: 1, startedAt: new Date(), heartbeatAt: new Date(), currentStepId: null },
    ...{ doneSteps: 0, refusedResults: 0, alive: true, node: 'gpu-7' },
    role: 'evaluator',
    details: { ...card },
  }
  const silent = { ...row, alive: false }
  const other: WorkerRow = { ...row, role: 'agent' }
  expect(liveEvaluatorsOf([row, silent, other, { ...row, details: { provider: 'cuda' } }])).toEqual([card])
})
