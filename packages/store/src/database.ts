import { EspalierError } from '@espalier/contracts'
import { PrismaPg } from '@prisma/adapter-pg'
import pg from 'pg'
import { Prisma, PrismaClient } from './generated/prisma/client.js'

/** What a query can be sent through: the client itself, or one transaction of it. */
export type Queryable = Prisma.TransactionClient

export interface Database {
  readonly client: PrismaClient
  /** READ COMMITTED: each statement sees what was committed before it. */
  transaction<T>(work: (transaction: Queryable) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export interface DatabaseOptions {
  readonly databaseUrl: string
  /** Connections of this process; 5 when not given. */
  readonly poolSize?: number
}

/**
 * For roles that are started on their own and cannot start a database themselves.
 *
 * @throws CONFIGURATION_INVALID when there is no address
 */
export function requireDatabaseUrl(databaseUrl: string | null): string {
  if (databaseUrl !== null) return databaseUrl
  throw new EspalierError(
    'CONFIGURATION_INVALID',
    'DATABASE_URL is not set: this process needs the address of a Postgres, postgresql://user:password@host:port/database.',
    { variable: 'DATABASE_URL' },
  )
}

/** Nobody waits longer than this for a row that another transaction holds. */
const lockTimeoutMs = 10_000
/** A transaction whose process hangs is ended by the server, so that its locks do not stay. */
const idleInTransactionMs = 30_000
const connectTimeoutMs = 10_000

export function openDatabase({ databaseUrl, poolSize = 5 }: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: poolSize,
    connectionTimeoutMillis: connectTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    application_name: 'espalier',
  })
  // An idle connection that the server closes is simply replaced; without a listener it would end the process.
  pool.on('error', () => {})
  const client = new PrismaClient({ adapter: new PrismaPg(pool) })

  return {
    client,
    transaction: (work) =>
      client.$transaction(work, {
        maxWait: connectTimeoutMs,
        timeout: idleInTransactionMs,
        isolationLevel: Prisma.TransactionIsolationLevel.ReadCommitted,
      }),
    close: async () => {
      await client.$disconnect()
      await pool.end()
    },
  }
}
