import type { WorkerRole } from '@espalier/contracts'
import type { RoleLoad } from '@espalier/store'
import { describe, expect, it } from '@jest/globals'
import { describeWait } from './describe-wait.js'

const idle: RoleLoad = { pending: 0, running: 0, liveWorkers: 1 }
const loadWith = (change: Partial<Record<WorkerRole, RoleLoad>>) => ({
  evaluator: idle,
  predictor: idle,
  agent: idle,
  ...change,
})
const waitingFor = (role: WorkerRole) => ({ pending: new Set([role]), running: 0, activity: null })

describe('the reason for waiting', () => {
  it('is none while a step runs, or when a worker is free', () => {
    const busy = loadWith({ evaluator: { pending: 5, running: 1, liveWorkers: 1 } })
    expect(describeWait({ ...waitingFor('evaluator'), running: 1 }, busy)).toBeNull()
    expect(describeWait(waitingFor('evaluator'), loadWith({}))).toBeNull()
  })

  it('is what a running step is kept from its work by', () => {
    const activity = 'downloading hf://acme/model@main: 1.0 GB of 2.0 GB'
    expect(describeWait({ ...waitingFor('agent'), running: 1, activity }, loadWith({}))).toBe(activity)
  })

  it('names the role that nobody does', () => {
    const load = loadWith({ agent: { pending: 1, running: 0, liveWorkers: 0 } })
    expect(describeWait(waitingFor('agent'), load)).toBe('no agent worker is running')
  })

  it('says how many are busy and how much is in line', () => {
    const load = loadWith({ evaluator: { pending: 7, running: 2, liveWorkers: 2 } })
    expect(describeWait(waitingFor('evaluator'), load)).toBe(
      'all 2 evaluator workers are busy with other searches, 7 steps are in line',
    )
  })
})
