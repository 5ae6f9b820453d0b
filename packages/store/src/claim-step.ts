import type { WorkerRole } from '@espalier/contracts'
import type { Database } from './database.js'
import { Prisma } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import { claimable, kindsOfRole, milliseconds, orderInRound, suits } from './lease-rules.js'
import type { Lease, LeaseKey } from './records.js'
import { endedStates } from './search-rows.js'
import type { ClaimOptions } from './store.js'

/** See `StepStore.claim`. One statement: of many claimers at once the row lock lets one through, the others find it RUNNING. */
export function claimStep(database: Database, stepId: string, options: ClaimOptions): Promise<Lease | undefined> {
  const step = Prisma.sql`
    SELECT s.id FROM "Step" s JOIN "Search" q ON q.id = s."searchId" WHERE s.id = ${stepId} AND ${suits(options.capacity)}`
  return claim(database, step, options)
}

/** See `StepStore.claimNext`. SKIP LOCKED: claimers of a role do not wait for each other, each gets another step. */
export function claimNextStep(database: Database, role: WorkerRole, options: ClaimOptions): Promise<Lease | undefined> {
  const kinds = kindsOfRole(role).map((kind) => Prisma.sql`${kind}::"StepKind"`)
  const next = Prisma.sql`
    SELECT s.id FROM "Step" s JOIN "Search" q ON q.id = s."searchId"
    WHERE s.kind IN (${Prisma.join(kinds)}) AND ${claimable} AND ${suits(options.capacity)}
    ORDER BY q."createdAt", q.id, s.round, s.kind, ${orderInRound}
    LIMIT 1 FOR UPDATE OF s SKIP LOCKED`
  return claim(database, next, options)
}

async function claim(
  { client }: Database,
  candidate: Prisma.Sql,
  { workerId, leaseMs }: ClaimOptions,
): Promise<Lease | undefined> {
  const [row] = await client.$queryRaw<LeaseRow[]>`
    WITH candidate AS MATERIALIZED (${candidate}),
    claimed AS (
      UPDATE "Step" s SET
        state = 'RUNNING', attempts = s.attempts + 1, "fencingToken" = s."fencingToken" + 1, "workerId" = ${workerId},
        "leaseExpiresAt" = now() + ${milliseconds(leaseMs)}, "startedAt" = now(), activity = NULL
      FROM candidate, "Search" q
      WHERE s.id = candidate.id AND q.id = s."searchId" AND ${claimable}
      RETURNING s.*
    ),
    busy AS (UPDATE "Worker" w SET "currentStepId" = claimed.id FROM claimed WHERE w.id = claimed."workerId")
    SELECT
      c.id AS "stepId", c."searchId", c."teamId", c.round, c.kind::text, c.index, c.payload, c."fencingToken", c.attempts,
      c."workerId", q.settings, m.id AS "modelId", m.name AS "modelName", m.path, m.source,
      m.revision, m.shape,
      -- a search measures the model that it prepared, even if the folder was registered anew since
      COALESCE(p.result->>'modelHash', m.hash) AS hash
    FROM claimed c
    JOIN "Search" q ON q.id = c."searchId"
    JOIN "Model" m ON m.id = q."modelId"
    LEFT JOIN "Step" p ON p."searchId" = c."searchId" AND p.round = 0 AND p.kind = 'prepare' AND p.index = 0`
  return row === undefined ? undefined : toLease(row)
}

interface LeaseRow {
  readonly fencingToken: bigint
  readonly modelId: string
  readonly modelName: string
  readonly path: string | null
  readonly source: string | null
  readonly revision: string | null
  readonly shape: unknown
  readonly hash: string | null
}

function toLease({ modelId, modelName, path, source, revision, shape, hash, fencingToken, ...step }: LeaseRow): Lease {
  const model = { id: modelId, name: modelName, path, source, revision, shape, hash }
  return fromJson<Lease>({ ...step, fencingToken: Number(fencingToken), model })
}

/** See `StepStore.reportActivity`. */
export async function reportActivity(
  { client }: Database,
  { stepId, fencingToken }: LeaseKey,
  activity: string | null,
): Promise<void> {
  await client.$executeRaw`
    UPDATE "Step" SET activity = ${activity}
    WHERE id = ${stepId} AND state = 'RUNNING' AND "fencingToken" = ${fencingToken}`
}

/** See `StepStore.heartbeat`. */
export async function renewLease(
  { client }: Database,
  { stepId, fencingToken }: LeaseKey,
  leaseMs: number,
): Promise<'held' | 'lost' | 'cancelled'> {
  const [row] = await client.$queryRaw<{ ended: boolean }[]>`
    UPDATE "Step" s SET "leaseExpiresAt" = now() + ${milliseconds(leaseMs)}
    FROM "Search" q
    WHERE s.id = ${stepId} AND s.state = 'RUNNING' AND s."fencingToken" = ${fencingToken} AND q.id = s."searchId"
    RETURNING q.state IN ${endedStates} AS ended`
  if (row === undefined) return 'lost'
  return row.ended ? 'cancelled' : 'held'
}
