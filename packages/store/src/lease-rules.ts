import {
  type EvaluatorCapacity,
  evaluatorKindOf,
  roleOfStep,
  type StepKind,
  stepKinds,
  type WorkerRole,
} from '@espalier/contracts'
import { Prisma } from './generated/prisma/client.js'
import { idleStates } from './search-rows.js'

/**
 * Claims after which a step is given up. Each ended without a result, an error or a release: the worker died.
 * A step that kills its workers would otherwise do so for ever.
 */
export const maxClaims = 6

/** A worker whose last heartbeat is older is not there. */
export const workerAliveMs = 15_000

export function kindsOfRole(role: WorkerRole): readonly StepKind[] {
  return stepKinds.filter((kind) => roleOfStep[kind] === role)
}

/** SQL: so many milliseconds. */
export const milliseconds = (ms: number) => Prisma.sql`${ms}::double precision * interval '1 millisecond'`

/**
 * SQL order of steps `s` of one round and kind. Of JSON arrays of the same length Postgres compares the elements in
 * order: policies with a common prefix are neighbours.
 */
export const orderInRound = Prisma.sql`s.payload->'split', s.payload->'windows', s.payload->'keptUnits', s.index`

/** SQL condition on step `s` and its search `q`: nobody has it, and it may start now. */
export const claimable = Prisma.sql`(
  ((s.state = 'PENDING' AND s."availableAt" <= now()) OR (s.state = 'RUNNING' AND s."leaseExpiresAt" < now()))
  AND s.attempts < ${maxClaims} AND q.state NOT IN ${idleStates})`

/**
 * SQL condition on step `s` and its search `q`: an evaluator of this capacity has the memory for it, and computes in
 * the precision that the search was prepared in.
 */
export function suits(capacity: EvaluatorCapacity | undefined): Prisma.Sql {
  if (capacity === undefined) return Prisma.sql`TRUE`
  const { memoryBytes, precisions } = capacity
  // Needs that were written before evaluators told how they keep weights are by provider alone.
  const kind = evaluatorKindOf(capacity)
  const fits =
    memoryBytes === null
      ? Prisma.sql`TRUE`
      : Prisma.sql`COALESCE(q."memoryNeeds"->>${kind}, q."memoryNeeds"->>${capacity.provider}, '0')::double precision
          <= ${memoryBytes}::double precision`
  return Prisma.sql`(${fits} AND NOT EXISTS (
    SELECT 1 FROM "Step" p
    WHERE p."searchId" = s."searchId" AND p.round = 0 AND p.kind = 'prepare' AND p.index = 0 AND p.id <> s.id
      AND COALESCE(p.result->>'precision', 'fp32') NOT IN (${Prisma.join([...precisions])})))`
}
