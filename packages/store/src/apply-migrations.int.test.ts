import { appendFile, cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import pg from 'pg'
import { applyMigrations } from './apply-migrations.js'
import { createTestDatabaseUrl, dropTestDatabase } from './store.test-support.js'

describe('applyMigrations', () => {
  let url: string
  let directory: string

  beforeEach(async () => {
    url = createTestDatabaseUrl()
    directory = await mkdtemp(join(tmpdir(), 'espalier-migrations-'))
    await cp(fileURLToPath(new URL('../../../prisma/migrations', import.meta.url)), directory, { recursive: true })
  })

  afterEach(async () => {
    await dropTestDatabase(url)
    await rm(directory, { recursive: true })
  })

  async function query(sql: string): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  it('makes database and tables once, however many processes start at the same time', async () => {
    const applied = await Promise.all(
      Array.from({ length: 8 }, () => applyMigrations(url, { createDatabase: true, directory })),
    )
    const migrations = (await readdir(directory, { withFileTypes: true })).filter((entry) => entry.isDirectory())
    expect(applied.flat().sort()).toEqual(migrations.map(({ name }) => name).sort())
    expect(await applyMigrations(url, { directory })).toEqual([])
    expect(await query('SELECT count(*)::int AS searches FROM "Search"')).toEqual([{ searches: 0 }])
  })

  it('refuses a database that is missing unless it may create it', async () => {
    await expect(applyMigrations(url, { directory })).rejects.toMatchObject({ code: '3D000' })
  })

  it('refuses a migration that was changed after it had been applied', async () => {
    const [name] = await applyMigrations(url, { createDatabase: true, directory })
    await appendFile(join(directory, String(name), 'migration.sql'), '-- changed\n')
    await expect(applyMigrations(url, { directory })).rejects.toMatchObject({
      code: 'CONFIGURATION_INVALID',
      message: expect.stringContaining(`'${name}'`),
    })
  })

  it('leaves nothing of a migration that fails, and applies it once it is mended', async () => {
    const file = join(directory, '29990101000000_next', 'migration.sql')
    await mkdir(join(directory, '29990101000000_next'))
    await writeFile(file, 'CREATE TABLE "Half" (id INT); SELECT 1 / 0;')
    await expect(applyMigrations(url, { createDatabase: true, directory })).rejects.toThrow('division by zero')
    expect(await query(`SELECT to_regclass('"Half"') AS half`)).toEqual([{ half: null }])

    await writeFile(file, 'CREATE TABLE "Whole" (id INT);')
    expect(await applyMigrations(url, { directory })).toEqual(['29990101000000_next'])
  })
})
