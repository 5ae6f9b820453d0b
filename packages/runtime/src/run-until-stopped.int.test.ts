import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'

const runtime = new URL('../dist/index.js', import.meta.url).href
let folder: string
const children: ChildProcess[] = []

/** A role whose `stop` does what the argument says, and which writes its pid and its end to standard output. */
const roleSource = `
import { createLogger, runUntilStopped } from '${runtime}'
const [mode] = process.argv.slice(2)
await runUntilStopped({
  name: 'probe', logger: createLogger('probe', { logLevel: 'info', node: 'n1' }), stopWithinMs: 500,
  start: async () => {
    if (mode === 'broken') throw new Error('no start')
    if (mode === 'uncaught') setTimeout(() => { throw new Error('out of the blue') }, 50)
    const work = setInterval(() => {}, 1000)
    return { stop: async () => { clearInterval(work); if (mode === 'stuck') await new Promise(() => {}); console.log('stopped') } }
  },
})`

/** Forks the role and, when it is killed, leaves the role with a closed IPC channel. */
const parentSource = `
import { fork } from 'node:child_process'
const child = fork(process.argv[2], ['clean'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
child.on('message', () => console.log('child ' + child.pid))`

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-run-'))
  await writeFile(join(folder, 'role.mjs'), roleSource)
  await writeFile(join(folder, 'parent.mjs'), parentSource)
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

function start(file: string, argument: string) {
  const child = fork(join(folder, file), [argument], { silent: true, env: { NODE_OPTIONS: '' } })
  children.push(child)
  const output = { out: '', err: '' }
  child.stdout?.on('data', (data) => {
    output.out += data
  })
  child.stderr?.on('data', (data) => {
    output.err += data
  })
  return { child, output, ended: once(child, 'close') }
}

async function waitFor(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > end) throw new Error('waited 10 s in vain')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('runUntilStopped', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('stops gracefully at %s', async (signal) => {
    const { child, output, ended } = start('role.mjs', 'clean')
    expect((await once(child, 'message'))[0]).toEqual({ type: 'ready', name: 'probe' })
    child.kill(signal)
    expect(await ended).toEqual([0, null])
    expect(output.out).toContain('stopped')
    const [line] = output.err.trim().split('\n')
    expect(JSON.parse(line ?? '')).toMatchObject({ level: 'info', role: 'probe', node: 'n1', reason: signal })
  })

  it.each([
    ['stuck', 'did not stop in time'],
    ['broken', 'no start'],
    ['uncaught', 'out of the blue'],
  ])('exits with 1 when it is %s', async (mode, message) => {
    const { child, output, ended } = start('role.mjs', mode)
    if (mode === 'stuck') {
      await once(child, 'message')
      child.kill('SIGTERM')
    }
    expect(await ended).toEqual([1, null])
    expect(output.err).toContain(message)
  })

  it('stops when the process that forked it is killed', async () => {
    const { child, output } = start('parent.mjs', join(folder, 'role.mjs'))
    await waitFor(() => /child \d+/.test(output.out))
    child.kill('SIGKILL')
    await waitFor(() => output.out.includes('stopped'))
  })
})
