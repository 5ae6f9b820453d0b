import { type RecordedError, roleOfStep, type StepKind, type WorkerRole } from '@espalier/contracts'
import type { Database, Queryable } from './database.js'
import { maxClaims, milliseconds } from './lease-rules.js'
import { endedStates, idleStates } from './search-rows.js'
import type { SweptSteps } from './store.js'

const workerLost: RecordedError = {
  code: 'WORKER_LOST',
  message: `The step was started ${maxClaims} times and its worker was lost each time.`,
  details: { claims: maxClaims },
}

/** See `StepStore.sweep`. Locked rows are skipped: somebody is at work on them, and the next sweep comes soon. */
export function sweepSteps({ transaction }: Database, staleWakeMs: number): Promise<SweptSteps> {
  return transaction(async (tx) => {
    await cancelLeftovers(tx)
    const searches = await giveUpHopeless(tx)
    const steps = await markWoken(tx, staleWakeMs)
    const wake: Record<WorkerRole, string[]> = { evaluator: [], predictor: [], agent: [] }
    for (const { id, kind } of steps) wake[roleOfStep[kind]].push(id)
    return { wake, searches }
  })
}

/** Steps of ended searches whose worker died before it could learn of the end. */
async function cancelLeftovers(tx: Queryable): Promise<void> {
  await tx.$executeRaw`
    UPDATE "Step" SET state = 'CANCELLED', "leaseExpiresAt" = NULL, "finishedAt" = now()
    WHERE id IN (
      SELECT s.id FROM "Step" s JOIN "Search" q ON q.id = s."searchId"
      WHERE q.state IN ${endedStates} AND (s.state = 'PENDING' OR (s.state = 'RUNNING' AND s."leaseExpiresAt" < now()))
      FOR UPDATE OF s SKIP LOCKED)`
}

async function giveUpHopeless(tx: Queryable): Promise<readonly string[]> {
  const rows = await tx.$queryRaw<{ searchId: string }[]>`
    UPDATE "Step" SET
      state = 'FAILED', error = ${JSON.stringify(workerLost)}::jsonb, "leaseExpiresAt" = NULL, "finishedAt" = now()
    WHERE id IN (
      SELECT id FROM "Step"
      WHERE attempts >= ${maxClaims} AND (state = 'PENDING' OR (state = 'RUNNING' AND "leaseExpiresAt" < now()))
      FOR UPDATE SKIP LOCKED)
    RETURNING "searchId"`
  return [...new Set(rows.map((row) => row.searchId))]
}

/** In the order in which they should be done. */
async function markWoken(tx: Queryable, staleWakeMs: number): Promise<readonly { id: string; kind: StepKind }[]> {
  return tx.$queryRaw`
    WITH due AS MATERIALIZED (
      SELECT s.id, q."createdAt" FROM "Step" s JOIN "Search" q ON q.id = s."searchId"
      WHERE q.state NOT IN ${idleStates} AND (
        (s.state = 'PENDING' AND s."availableAt" <= now() AND s."wokenAt" < now() - ${milliseconds(staleWakeMs)})
        OR (s.state = 'RUNNING' AND s."leaseExpiresAt" < now()
          AND (s."wokenAt" < s."leaseExpiresAt" OR s."wokenAt" < now() - ${milliseconds(staleWakeMs)})))
      FOR UPDATE OF s SKIP LOCKED
    ),
    woken AS (
      UPDATE "Step" s SET "wokenAt" = now() FROM due WHERE s.id = due.id
      RETURNING s.id, s.kind::text, due."createdAt", s."searchId", s.round, s.index
    )
    SELECT id, kind FROM woken ORDER BY "createdAt", "searchId", round, index`
}
