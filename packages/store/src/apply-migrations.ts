import { createHash, randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { EspalierError } from '@espalier/contracts'
import pg from 'pg'

/** The lock and the table of `prisma migrate deploy`: both can be used on the same database, even at the same time. */
const migrateLock = 72707369
const migrationsTable = `
  CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum VARCHAR(64) NOT NULL,
    finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL,
    logs TEXT,
    rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`

const duplicateDatabase = '42P04'
const uniqueViolation = '23505'
const noSuchDatabase = '3D000'

export interface MigrationOptions {
  /** Create the database when the server does not have it. */
  readonly createDatabase?: boolean
  /** Folder of `<name>/migration.sql`; `prisma/migrations` of this repository when not given. */
  readonly directory?: string
}

interface Migration {
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

/**
 * Applies the migrations that the database does not have; safe to be called by many processes at once.
 *
 * @returns the names of those that were applied now, in order
 * @throws CONFIGURATION_INVALID when an applied migration was changed or one failed half-way earlier
 */
export async function applyMigrations(databaseUrl: string, options: MigrationOptions = {}): Promise<readonly string[]> {
  const directory = options.directory ?? fileURLToPath(new URL('../../../prisma/migrations', import.meta.url))
  const migrations = await readMigrations(directory)
  const client = await connect(databaseUrl, options.createDatabase ?? false)
  try {
    await client.query('SELECT pg_advisory_lock($1)', [migrateLock])
    await client.query(migrationsTable)
    const missing = await findMissing(client, migrations)
    for (const migration of missing) await apply(client, migration)
    return missing.map(({ name }) => name)
  } finally {
    // Ends the session, and with it the lock.
    await client.end()
  }
}

async function readMigrations(directory: string): Promise<readonly Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(`${directory}/${name}/migration.sql`, 'utf8')
      return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

async function connect(databaseUrl: string, createDatabase: boolean): Promise<pg.Client> {
  try {
    return await open(databaseUrl)
  } catch (error) {
    if (!createDatabase || sqlState(error) !== noSuchDatabase) throw error
  }
  const url = new URL(databaseUrl)
  const name = decodeURIComponent(url.pathname.slice(1))
  url.pathname = '/postgres'
  const server = await open(url.href)
  try {
    await server.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`)
  } catch (error) {
    // Another process was faster; under a race the server reports either of these.
    if (sqlState(error) !== duplicateDatabase && sqlState(error) !== uniqueViolation) throw error
  } finally {
    await server.end()
  }
  return open(databaseUrl)
}

async function open(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString, application_name: 'espalier-migrations' })
  // A connection lost between two queries is reported by the next query; without a listener it would end the process.
  client.on('error', () => {})
  await client.connect()
  return client
}

const sqlState = (error: unknown) => (error instanceof pg.DatabaseError ? error.code : undefined)

async function findMissing(client: pg.Client, migrations: readonly Migration[]): Promise<readonly Migration[]> {
  const { rows } = await client.query<{ migration_name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  )
  const halfApplied = rows.find((row) => !row.finished)
  if (halfApplied !== undefined) {
    const name = halfApplied.migration_name
    throw new EspalierError(
      'CONFIGURATION_INVALID',
      `Migration '${name}' failed earlier; see its logs in _prisma_migrations and use 'prisma migrate resolve'.`,
      { migration: name },
    )
  }
  const applied = new Map(rows.map((row) => [row.migration_name, row.checksum]))
  return migrations.filter(({ name, checksum }) => {
    const appliedChecksum = applied.get(name)
    if (appliedChecksum !== undefined && appliedChecksum !== checksum) {
      throw new EspalierError(
        'CONFIGURATION_INVALID',
        `Migration '${name}' was changed after it had been applied: its checksum is ${checksum}, the applied one ${appliedChecksum}.`,
        { migration: name, checksum, appliedChecksum },
      )
    }
    return appliedChecksum === undefined
  })
}

/** One transaction for the migration and its row: a process killed at any instant leaves both or neither. */
async function apply(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query(sql)
    await client.query(
      `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), 1)`,
      [randomUUID(), checksum, name],
    )
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  }
}
