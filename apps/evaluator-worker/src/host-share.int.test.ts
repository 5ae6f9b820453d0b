import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { joinHost, threadsOf } from './host-share.js'

let folder: string
beforeAll(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'espalier-hosts-')), 'evaluators')
})
afterAll(() => rm(join(folder, '..'), { recursive: true, force: true }))

it('counts the evaluators that live', async () => {
  const first = await joinHost(folder)
  expect(first.count()).toBe(1)
  const second = await joinHost(folder)
  expect([first.count(), second.count()]).toEqual([2, 2])

  const killed = join(folder, 'killed')
  await writeFile(killed, '')
  expect(first.count()).toBe(3)
  const longAgo = new Date(Date.now() - 60_000)
  await utimes(killed, longAgo, longAgo)
  expect(first.count()).toBe(2)

  await second.leave()
  expect(first.count()).toBe(1)
  await first.leave()
})

it('is counted again when its file was taken away while it lives', async () => {
  const one = await joinHost(folder, { beatMs: 10, deadAfterMs: 60_000 })
  const other = await joinHost(folder, { beatMs: 10, deadAfterMs: 60_000 })
  await rm(folder, { recursive: true })
  while (other.count() < 2) await sleep(10)
  await one.leave()
  await other.leave()
  expect(other.count()).toBe(1)
})

it('counts an evaluator no longer as soon as its process was killed', async () => {
  const own = await joinHost(folder)
  const code = `import(${JSON.stringify(new URL('../dist/host-share.js', import.meta.url).href)})
    .then(({ joinHost }) => joinHost(${JSON.stringify(folder)})).then(() => setInterval(() => {}, 1000))`
  const other = spawn(process.execPath, ['-e', code], { stdio: 'ignore', env: { ...process.env, NODE_OPTIONS: '' } })
  while (own.count() < 2) await sleep(10)
  other.kill('SIGKILL')
  await once(other, 'exit')
  expect(own.count()).toBe(1)
  await own.leave()
})

it('gives evaluators together no more threads than there are CPUs, but one each', () => {
  for (const cpus of [1, 2, 3, 8, 96]) {
    for (const evaluators of [1, 2, 3, 5]) {
      const threads = threadsOf(cpus, evaluators)
      expect(threads * evaluators).toBeLessThanOrEqual(Math.max(cpus, evaluators))
      expect(threads).toBeGreaterThanOrEqual(1)
    }
  }
})
