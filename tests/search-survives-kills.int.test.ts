import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import {
  createHome,
  evaluationsOf,
  type RunningService,
  startService,
  submitSearch,
  until,
  untilEnded,
  untilEvaluated,
} from './running-service.js'

/** Every search here has the same settings and seed, so each must measure exactly the same policies, once. */
describe('kill -9 during a search', () => {
  let service: RunningService
  let undisturbed: string[]

  beforeAll(async () => {
    service = await startService(createHome())
    const id = await submitSearch(service)
    expect((await untilEnded(service, id)).state).toBe('SUCCEEDED')
    undisturbed = await evaluationsOf(service, id)
  }, 240_000)

  afterAll(async () => service?.stop())

  it('without any kill spends the whole budget, each policy once', () => {
    const onValidation = undisturbed.filter((evaluation) => evaluation.startsWith('validation/'))
    expect(onValidation).toHaveLength(28)
    expect(new Set(undisturbed).size).toBe(undisturbed.length)
  })

  it.each(['evaluator', 'dispatcher', 'agent', 'predictor', 'api', 'postgres'])(
    'of the %s: the search ends with the same evaluations',
    async (role) => {
      const id = await submitSearch(service)
      await untilEvaluated(service, id, 12)
      const pid = await service.pidOf(role)
      process.kill(pid, 'SIGKILL')
      const search = await untilEnded(service, id)
      expect(search.state).toBe('SUCCEEDED')
      expect(await evaluationsOf(service, id)).toEqual(undisturbed)
      expect(search.result?.evaluations.total).toBe(28)
    },
    200_000,
  )

  it('of everything, then `espalier up`: the search goes on', async () => {
    const id = await submitSearch(service)
    await untilEvaluated(service, id, 12)
    const roles = ['evaluator', 'dispatcher', 'agent', 'predictor', 'api', 'postgres']
    const pids = await Promise.all(roles.map((role) => service.pidOf(role)))
    service.supervisor.kill('SIGKILL')
    for (const pid of pids) killIfAlive(pid)
    await until(10_000, async () => pids.every((pid) => !isAlive(pid)))

    service = await startService(service.home)
    const search = await untilEnded(service, id)
    expect(search.state).toBe('SUCCEEDED')
    expect(await evaluationsOf(service, id)).toEqual(undisturbed)
  }, 200_000)
})

function killIfAlive(pid: number): void {
  if (isAlive(pid)) process.kill(pid, 'SIGKILL')
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
