import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@espalier/embedded'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import { Redis } from 'ioredis'
import pg from 'pg'
import { createQueue, type WorkQueue } from './create-queue.js'

/** A server of the queue that can be killed and started again at the same address. */
interface QueueServer {
  start(): Promise<void>
  kill(): Promise<void>
  stop(): Promise<void>
  urls(): { databaseUrl: string; redisUrl?: string }
  /** Jobs that lie in the store. */
  countJobs(): Promise<number>
}

function postgresServer(directory: string): QueueServer {
  let server: EmbeddedPostgres | null = null
  const running = () => {
    if (!server) throw new Error('Postgres was not started')
    return server
  }
  return {
    async start() {
      server = await startEmbeddedPostgres({ directory, ...(server ? { port: server.port } : {}) })
    },
    async kill() {
      const ended = new Promise<void>((resolve) => running().onExit(resolve))
      process.kill(running().pid, 'SIGKILL')
      await ended
    },
    stop: () => running().stop(),
    urls: () => ({ databaseUrl: running().url }),
    async countJobs() {
      const client = new pg.Client({ connectionString: running().url })
      await client.connect()
      const { rows } = await client.query<{ jobs: number }>('SELECT count(*)::int AS jobs FROM queue.job')
      await client.end()
      return rows[0]?.jobs ?? 0
    },
  }
}

function redisServer(directory: string): QueueServer {
  let port = 0
  let server: ChildProcess | null = null
  const url = () => `redis://127.0.0.1:${port}`
  return {
    async start() {
      if (port === 0) {
        const probe = createServer().listen(0, '127.0.0.1')
        await once(probe, 'listening')
        port = Number(Object(probe.address()).port)
        probe.close()
      }
      server = spawn('redis-server', ['--port', String(port), '--appendonly', 'yes', '--dir', directory], {
        stdio: 'pipe',
      })
      for await (const text of server.stdout ?? []) if (String(text).includes('Ready to accept')) break
    },
    async kill() {
      const ended = server ? once(server, 'exit') : null
      server?.kill('SIGKILL')
      await ended
    },
    async stop() {
      const ended = server ? once(server, 'exit') : null
      server?.kill('SIGTERM')
      await ended
    },
    urls: () => ({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/none', redisUrl: url() }),
    async countJobs() {
      const redis = new Redis(url())
      const keys = await redis.keys('espalier:*:wake-*')
      redis.disconnect()
      return keys.length
    },
  }
}

async function waitFor(what: string, condition: () => boolean | Promise<boolean>, limitMs = 20_000): Promise<void> {
  const end = performance.now() + limitMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`${what}: waited ${limitMs} ms in vain`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const hasRedis = spawnSync('redis-server', ['--version']).status === 0
if (!hasRedis) console.warn('redis-server is not installed: the queue is not tested on Redis')

const backends: [string, (directory: string) => QueueServer][] = [
  ['Postgres', postgresServer],
  ...(hasRedis ? [['Redis', redisServer] satisfies [string, (directory: string) => QueueServer]] : []),
]

describe.each(backends)('the queue on %s', (_, createServerIn) => {
  let directory: string
  let server: QueueServer
  const queues: WorkQueue[] = []
  const errors: Error[] = []
  const open = (): WorkQueue => {
    const queue = createQueue({ ...server.urls(), onError: (error) => errors.push(error) })
    queues.push(queue)
    return queue
  }

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'espalier-queue-'))
    server = createServerIn(directory)
    await server.start()
  })
  afterEach(async () => {
    await Promise.all(queues.splice(0).map((queue) => queue.close()))
    errors.length = 0
  })
  afterAll(async () => {
    await server.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  it('gives each id to one listener of its target and keeps nothing afterwards', async () => {
    const ids = Array.from({ length: 150 }, (_unused, index) => `step-${index}`)
    const taken: string[] = []
    let running = 0
    let most = 0
    for (const queue of [open(), open()]) {
      queue.listen('evaluator', 3, async (id) => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setTimeout(resolve, 2))
        taken.push(id)
        running--
      })
    }
    const strangers: string[] = []
    open().listen('dispatcher', 1, async (id) => void strangers.push(id))
    await open().wake('evaluator', ids)
    await waitFor('all ids', () => taken.length >= ids.length)
    expect([...taken].sort()).toEqual([...ids].sort())
    expect(most).toBeLessThanOrEqual(6)
    expect(strangers).toEqual([])
    expect(errors).toEqual([])
    await waitFor('an empty queue', async () => (await server.countJobs()) === 0)
  })

  it('reports the error of a processor and does not repeat the call', async () => {
    const calls: string[] = []
    const queue = open()
    queue.listen('agent', 1, async (id) => {
      calls.push(id)
      if (id === 'bad') throw new Error('cannot')
    })
    await queue.wake('agent', ['bad', 'good'])
    await waitFor('both', () => calls.length === 2)
    await waitFor('an empty queue', async () => (await server.countJobs()) === 0)
    expect(calls).toEqual(['bad', 'good'])
    expect(errors.map(({ message }) => message)).toEqual(['cannot'])
  })

  it('keeps an id that waits only once, however often it is woken', async () => {
    const queue = open()
    for (let times = 0; times < 5; times++) await queue.wake('agent', ['again'])
    expect(await server.countJobs()).toBe(1)
    const calls: string[] = []
    queue.listen('agent', 1, async (id) => void calls.push(id))
    await waitFor('the call', () => calls.length === 1)
    await waitFor('an empty queue', async () => (await server.countJobs()) === 0)
    await queue.wake('agent', ['again'])
    await waitFor('the second call', () => calls.length === 2)
  })

  it('goes on by itself after its server was killed and came back', async () => {
    const taken: string[] = []
    let busy = false
    const queue = open()
    queue.listen('predictor', 2, async (id) => {
      // a wake held at the kill comes again
      if (id === 'long' && !taken.includes(id)) {
        busy = true
        await waitFor('the kill', () => !busy)
      }
      taken.push(id)
    })
    await queue.wake('predictor', ['long', 'before'])
    await waitFor('both at work', () => busy && taken.includes('before'))
    await server.kill()
    busy = false
    const during = queue.wake('predictor', ['during'])
    await waitFor('the loss is noticed', () => errors.length > 0)
    await server.start()
    const back = performance.now()
    await Promise.all([during, queue.wake('predictor', ['after'])])
    await waitFor('the wakes', () => taken.includes('after') && taken.includes('during'))
    expect(performance.now() - back).toBeLessThan(8_000)
    expect(taken).toContain('long')
  })

  it('waits for a server that is not there yet, and closes while it is away', async () => {
    await server.kill()
    const taken: string[] = []
    const early = open()
    early.listen('predictor', 1, async (id) => void taken.push(id))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const abandoned = open()
    abandoned.listen('agent', 1, async () => {})
    const wake = abandoned.wake('agent', ['x'])
    const closing = performance.now()
    await Promise.all([abandoned.close(), wake])
    expect(performance.now() - closing).toBeLessThan(8_000)
    await server.start()
    await early.wake('predictor', ['late'])
    await waitFor('the wake', () => taken.includes('late'))
  })

  it('closes although its server was killed under it', async () => {
    const queue = open()
    const taken: string[] = []
    queue.listen('agent', 1, async (id) => void taken.push(id))
    await queue.wake('agent', ['here'])
    await waitFor('the wake', () => taken.includes('here'))
    const killed = server.kill()
    await queue.close()
    await killed
    await server.start()
  })
})
