import { EspalierError } from '@espalier/contracts'
import pg from 'pg'

export const userName = 'espalier'
const databaseName = 'espalier'

/** SQLSTATE codes (Postgres documentation, appendix A). */
const invalidPassword = '28P01'
const duplicateDatabase = '42P04'

export function urlOf(port: number, password: string, database: string = databaseName): string {
  return `postgresql://${userName}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
}

const codeOf = (error: unknown) =>
  error !== null && typeof error === 'object' && 'code' in error ? error.code : undefined

async function ensureDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [databaseName])
  if (rowCount) return
  await client.query(`CREATE DATABASE "${databaseName}"`).catch((error: unknown) => {
    // another process made it at the same time
    if (codeOf(error) !== duplicateDatabase) throw error
  })
}

/**
 * Whether the server answers with our password; makes the database if it is not there.
 *
 * @throws EMBEDDED_POSTGRES_FAILED when the server refuses the password: it will not change its mind
 */
export async function isReady(port: number, password: string): Promise<boolean> {
  const client = new pg.Client({
    connectionString: urlOf(port, password, 'postgres'),
    connectionTimeoutMillis: 5_000,
  })
  // the connection may break while idle; the next attempt will see
  client.on('error', () => {})
  try {
    await client.connect()
    await ensureDatabase(client)
    return true
  } catch (error) {
    if (codeOf(error) !== invalidPassword) return false
    throw new EspalierError(
      'EMBEDDED_POSTGRES_FAILED',
      `the embedded Postgres on port ${port} refuses the password in its folder: the file "password" belongs to other data`,
      { port },
    )
  } finally {
    await client.end().catch(() => {})
  }
}
