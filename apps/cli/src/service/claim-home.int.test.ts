import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { attachToService, untilUnused } from './attached-clients.js'
import { claimHome } from './claim-home.js'
import { findServiceFile, serviceFilesOf } from './service-home.js'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-home-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

describe('a home', () => {
  it('is one service’s, which a second one is told of', async () => {
    const claim = await claimHome(home)
    await expect(claimHome(home)).rejects.toMatchObject({
      code: 'SERVICE_ALREADY_RUNNING',
      message: expect.stringContaining(`Process ${process.pid} runs the service of ${home}; it is starting`),
    })
    await claim.publish('http://127.0.0.1:7077')
    expect(await findServiceFile(home)).toMatchObject({ pid: process.pid, url: 'http://127.0.0.1:7077' })
    expect((await stat(serviceFilesOf(home).service)).mode & 0o777).toBe(0o600)
    await expect(claimHome(home)).rejects.toThrow('it answers at http://127.0.0.1:7077')
    await claim.release()
    expect(await readdir(home)).toEqual([])
    await (await claimHome(home)).release()
  })

  it.each([
    ['of a process that is gone', { pid: 2 ** 22 - 1, bornAt: null }],
    ['of a process whose number is somebody else’s now', { pid: process.pid, bornAt: '1' }],
    ['that is not readable', 'x'],
  ])('is taken over from a claim %s', async (_, owner) => {
    await writeFile(serviceFilesOf(home).lock, typeof owner === 'string' ? owner : JSON.stringify(owner))
    const claim = await claimHome(home)
    await claim.release()
    expect(await readdir(home)).toEqual([])
  })

  it('is won by one of many that try at once', async () => {
    await writeFile(serviceFilesOf(home).lock, JSON.stringify({ pid: 2 ** 22 - 1, bornAt: null }))
    const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimHome(home)))
    expect(claims.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })
})

describe('a service that other commands use', () => {
  it('is waited for until they have ended or were killed', async () => {
    const { clients } = serviceFilesOf(home)
    const waits: number[] = []
    const untilStopped = (signal: AbortSignal) => untilUnused(home, signal, (count) => waits.push(count))
    await untilStopped(new AbortController().signal)
    expect(waits).toEqual([])

    const detach = await attachToService(home)
    await writeFile(join(clients, 'killed'), JSON.stringify({ pid: 2 ** 22 - 1, bornAt: null }))
    const unused = untilStopped(new AbortController().signal)
    setTimeout(detach, 100)
    await unused
    expect(waits).toEqual([1])
    expect(await readdir(clients)).toEqual([])

    await attachToService(home)
    await untilStopped(AbortSignal.timeout(50))
    expect(waits).toEqual([1, 1])
  })
})
