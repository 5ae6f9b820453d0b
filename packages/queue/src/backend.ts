import { createPostgresBackend, createRedisBackend, type Job, withBackend } from 'bullmq'
import { Redis } from 'ioredis'
import { guardConnections } from './guard-connections.js'
import { settleWithin } from './settle-within.js'

/** What a job carries: the id of the row to look at. The row says what is to be done. */
interface WakeData {
  readonly id: string
}

/** One end of a queue: gives wakes away. */
export interface Sender {
  ready(): Promise<unknown>
  add(ids: readonly string[]): Promise<unknown>
  close(): Promise<void>
}

/** The other end: takes wakes as long as `run` has not returned. */
export interface Receiver {
  ready(): Promise<unknown>
  /** Resolves after `close`; rejects when the receiver cannot go on. */
  run(): Promise<unknown>
  /** Takes no more wakes from now on; resolves when those being processed are done. */
  close(): Promise<void>
  /** Lets go of everything when `close` waits for a server that is away. */
  abandon(): void
}

/** BullMQ over one of its two stores. */
export interface Backend {
  openSender(queue: string, onError: (error: Error) => void): Sender
  openReceiver(
    queue: string,
    concurrency: number,
    process: (data: unknown) => Promise<void>,
    onError: (error: Error) => void,
  ): Receiver
}

/** Rows decide about attempts, and keep the history: a job is gone as soon as it was looked at. */
const jobOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true } as const
const streams = { events: { maxLen: 100 } }

const workerOptions = {
  autorun: false,
  // a wake held by a killed worker goes to another one; that a row is not done twice is the lease's concern
  lockDuration: 10_000,
  stalledInterval: 5_000,
  maxStalledCount: 1_000,
  // longest wait in seconds before it looks for itself, should a notification be lost
  drainDelay: 2,
  // after a failed fetch, in milliseconds
  runRetryDelay: 500,
}

const toJobs = (ids: readonly string[]) =>
  // a job id may not be a whole number; the same id is queued once
  ids.map((id) => ({ name: 'wake', data: { id }, opts: { jobId: `wake-${id}`, ...jobOptions } }))

/** BullMQ's Postgres schema lies beside the tables of the store, which are in `public`. */
const postgresSchema = 'queue'
const connectTimeoutMs = 5_000

/** BullMQ says these about one job: its lock ran out, or it is gone. The connection is sound. */
const isAboutJob = (error: Error) => /\b(job|lock)\b/i.test(error.message)

/**
 * Rejects at the first error that is not about a job. A BullMQ worker that meets such an error asks Postgres again
 * without any pause, hundreds of times a second while Postgres starts up: it must be replaced.
 */
function createFailure() {
  let fail: (error: Error) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  // whoever runs the receiver is told; nobody may be running it yet
  failed.catch(() => {})
  let hasFailed = false
  return {
    failed,
    hasFailed: () => hasFailed,
    report(error: Error): void {
      hasFailed = true
      fail(error)
    },
  }
}

export function createBackendOnPostgres(databaseUrl: string): Backend {
  guardConnections()
  const { Queue, Worker } = withBackend(createPostgresBackend)
  class AbandonableWorker extends Worker {
    /** Ends the timers that `close` ends only when the server answers. */
    abandon(): void {
      this.lockManager.close().catch(() => {})
    }
  }
  const connection = (max: number) => ({
    connectionString: databaseUrl,
    schema: postgresSchema,
    migrate: true,
    max,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  })
  return {
    openSender(name, onError) {
      const queue = new Queue<WakeData>(name, { connection: connection(2), streams })
      queue.on('error', onError)
      return {
        ready: () => queue.waitUntilReady(),
        add: (ids) => queue.addBulk(toJobs(ids)),
        close: () => queue.close(),
      }
    },
    openReceiver(name, concurrency, process, onError) {
      const options = { ...workerOptions, connection: connection(4), concurrency }
      const worker = new AbandonableWorker(name, (job: Job<unknown>) => process(job.data), options)
      const failure = createFailure()
      worker.on('error', (error) => {
        if (isAboutJob(error)) onError(error)
        else failure.report(error)
      })
      return {
        ready: () => worker.waitUntilReady(),
        run: () => Promise.race([worker.run(), failure.failed]),
        close: () => worker.close(failure.hasFailed()),
        abandon: () => worker.abandon(),
      }
    },
  }
}

/** Prefix of the keys, so that a Redis can be shared. */
const redisPrefix = 'espalier'
/** BullMQ waits for a Redis that is away when it closes; this is as long as it may, milliseconds. */
const closeWithinMs = 1_500
const reconnectAfterMs = (attempt: number) => Math.min(attempt * 100, 1_000)

/** A Redis client, and those that BullMQ duplicates from it, all ended together. */
function connectToRedis(redisUrl: string, maxRetriesPerRequest: number | null, onError: (error: Error) => void) {
  const first = new Redis(redisUrl, {
    maxRetriesPerRequest,
    retryStrategy: reconnectAfterMs,
    connectTimeout: connectTimeoutMs,
  })
  first.on('error', onError)
  const clients = [first]
  const duplicate = first.duplicate.bind(first)
  first.duplicate = (override) => {
    const client = duplicate(override)
    clients.push(client)
    return client
  }
  return {
    redis: first,
    /** BullMQ leaves open what it was given, or cannot reach. */
    disconnect(): void {
      for (const client of clients) client.disconnect()
    },
  }
}

export function createBackendOnRedis(redisUrl: string): Backend {
  const { Queue, Worker } = withBackend(createRedisBackend)
  class AbandonableWorker extends Worker {
    /** Ends the timers that `close` ends only when the server answers. */
    abandon(): void {
      this.lockManager.close().catch(() => {})
    }
  }
  return {
    openSender(name, onError) {
      // fails soon, so that the caller can go on
      const { redis, disconnect } = connectToRedis(redisUrl, 1, onError)
      const queue = new Queue<WakeData>(name, { connection: redis, prefix: redisPrefix, streams })
      queue.on('error', onError)
      return {
        ready: () => queue.waitUntilReady(),
        add: (ids) => queue.addBulk(toJobs(ids)),
        close: async () => {
          await settleWithin(queue.close(), closeWithinMs)
          disconnect()
        },
      }
    },
    openReceiver(name, concurrency, process, onError) {
      // waits for as long as it takes, as BullMQ demands of a worker's connection
      const { redis, disconnect } = connectToRedis(redisUrl, null, onError)
      const options = { ...workerOptions, connection: redis, prefix: redisPrefix, concurrency }
      const worker = new AbandonableWorker(name, (job: Job<unknown>) => process(job.data), options)
      worker.on('error', onError)
      return {
        ready: () => worker.waitUntilReady(),
        run: () => worker.run(),
        close: async () => {
          await worker.close()
          disconnect()
        },
        abandon: () => {
          worker.abandon()
          disconnect()
        },
      }
    },
  }
}
