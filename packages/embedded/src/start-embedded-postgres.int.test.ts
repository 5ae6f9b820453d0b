import { fork } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { findProcess } from './find-process.js'
import { findFreePort } from './free-port.js'
import type { EmbeddedPostgres } from './server-handle.js'
import { startEmbeddedPostgres } from './start-embedded-postgres.js'

const folders: string[] = []
const running: EmbeddedPostgres[] = []

/** Root drops to `nobody` in an open folder, and works in a user namespace in a closed one. */
function newFolder(mode = 0o700): string {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-pg-'))
  chmodSync(folder, mode)
  folders.push(folder)
  return join(folder, 'postgres')
}

async function start(directory: string, options: { port?: number; startWithinMs?: number } = {}) {
  const server = await startEmbeddedPostgres({ directory, ...options })
  running.push(server)
  return server
}

async function query(server: EmbeddedPostgres, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: server.url })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

describe.each([
  ['a folder others may enter', 0o711],
  ['a folder closed to others', 0o700],
])('in %s', (_, mode) => {
  let directory: string
  beforeAll(() => {
    directory = newFolder(mode)
  })

  it('makes a database with a secret password, on the loopback only', async () => {
    const server = await start(directory)
    expect(server.adopted).toBe(false)
    expect(statSync(join(directory, 'password')).mode & 0o777).toBe(0o600)
    const [settings] = await query(
      server,
      `SELECT current_database() AS name, current_setting('listen_addresses') AS listen, current_setting('fsync') AS fsync,
        current_setting('unix_socket_directories') AS sockets, current_setting('max_connections') AS connections`,
    )
    expect(settings).toEqual({ name: 'espalier', listen: '127.0.0.1', fsync: 'on', sockets: '', connections: '200' })
    const stranger = new pg.Client({ connectionString: server.url.replace(/:[^:@]*@/, ':guess@') })
    await expect(stranger.connect()).rejects.toMatchObject({ code: '28P01' })
    await query(server, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)')
  })

  it('keeps data and port over a stop, and stops the server whole', async () => {
    const first = await start(directory)
    await query(first, 'INSERT INTO kept VALUES (2)')
    await first.stop()
    expect(findProcess(first.pid, join(directory, 'pg18'))).toBe('gone')
    const second = await start(directory)
    expect(second.port).toBe(first.port)
    expect(await query(second, 'SELECT n FROM kept ORDER BY n')).toEqual([{ n: 1 }, { n: 2 }])
  })

  it('loses no committed row when Postgres is killed, and comes back on the same port', async () => {
    const first = await start(directory)
    const ended = new Promise<void>((resolve) => first.onExit(resolve))
    await query(first, 'INSERT INTO kept VALUES (3)')
    process.kill(first.pid, 'SIGKILL')
    await ended
    const second = await start(directory, { port: first.port })
    expect(second.pid).not.toBe(first.pid)
    expect(second.url).toBe(first.url)
    expect(await query(second, 'SELECT max(n) AS n FROM kept')).toEqual([{ n: 3 }])
  })
})

describe('an embedded Postgres', () => {
  it('is taken over when the process that started it was killed, and can then be stopped', async () => {
    const directory = newFolder()
    const starter = join(directory, '..', 'starter.mjs')
    const index = new URL('../dist/index.js', import.meta.url).href
    writeFileSync(
      starter,
      `import { startEmbeddedPostgres } from '${index}'
       process.send(await startEmbeddedPostgres({ directory: process.argv[2] })); setInterval(() => {}, 1000)`,
    )
    const parent = fork(starter, [directory], { env: { NODE_OPTIONS: '' } })
    const [started] = await once(parent, 'message')
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    const adopted = await start(directory)
    expect(adopted).toMatchObject({ adopted: true, pid: started.pid, url: started.url })
    expect(await query(adopted, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    await adopted.stop()
    expect(findProcess(started.pid, join(directory, 'pg18'))).toBe('gone')
  })

  it('is one, however many start it at the same time', async () => {
    const directory = newFolder()
    const servers = await Promise.all([start(directory), start(directory), start(directory)])
    expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1)
    expect(servers.filter(({ adopted }) => !adopted)).toHaveLength(1)
    expect(await Promise.all(servers.map((server) => query(server, 'SELECT 1 AS one')))).toHaveLength(3)
  })

  it('leaves a port that something else has taken, and a lock file that names another process', async () => {
    const directory = newFolder()
    const first = await start(directory)
    await first.stop()
    writeFileSync(join(directory, 'pg18', 'postmaster.pid'), `${process.pid}\n/data\n1\n${first.port}\n\n127.0.0.1\n`)
    const squatter = createServer().listen(first.port, '127.0.0.1')
    await once(squatter, 'listening')
    try {
      const second = await start(directory)
      expect(second.adopted).toBe(false)
      expect(second.port).not.toBe(first.port)
      expect(readFileSync(join(directory, 'port'), 'utf8').trim()).toBe(String(second.port))
    } finally {
      squatter.close()
    }
  })

  it('says why it cannot start, with the end of its log', async () => {
    const directory = newFolder()
    await (await start(directory)).stop()
    const port = (await findFreePort()) ?? 0
    const squatter = createServer().listen(port, '127.0.0.1')
    await once(squatter, 'listening')
    try {
      await expect(start(directory, { port, startWithinMs: 600 })).rejects.toMatchObject({
        code: 'EMBEDDED_POSTGRES_FAILED',
        message: expect.stringContaining('Address already in use'),
      })
    } finally {
      squatter.close()
    }
    writeFileSync(join(directory, 'pg18', 'PG_VERSION'), '9.6\n')
    await expect(start(directory)).rejects.toMatchObject({
      code: 'EMBEDDED_POSTGRES_FAILED',
      message: expect.stringContaining('not compatible'),
    })
  })
})
