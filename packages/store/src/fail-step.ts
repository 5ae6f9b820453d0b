import type { RecordedError, StepState } from '@espalier/contracts'
import { countRefusal } from './complete-step.js'
import type { Database, Queryable } from './database.js'
import { appendEvents } from './events.js'
import { milliseconds } from './lease-rules.js'
import type { Lease, LeaseKey } from './records.js'
import { endedStates } from './search-rows.js'
import type { FailOptions } from './store.js'

const defaultMaxAttempts = 3
const defaultBackoffMs = 1000

/** See `StepStore.fail`. */
export function failStep(
  { transaction }: Database,
  lease: Lease,
  error: RecordedError,
  { retryable, maxAttempts = defaultMaxAttempts, backoffMs = defaultBackoffMs }: FailOptions,
): Promise<'retrying' | 'failed' | 'refused'> {
  return transaction(async (tx) => {
    const [step] = await tx.$queryRaw<{ state: StepState }[]>`
      UPDATE "Step" s SET
        state = CASE
          WHEN q.state IN ${endedStates} THEN 'CANCELLED'
          WHEN ${retryable} AND s.failures + 1 < ${maxAttempts}::int THEN 'PENDING'
          ELSE 'FAILED'
        END::"StepState",
        error = ${JSON.stringify(error)}::jsonb,
        failures = s.failures + 1,
        "leaseExpiresAt" = NULL,
        "availableAt" = now() + ${milliseconds(backoffMs)} * power(2, s.failures),
        -- so that the first sweep after the back-off wakes a worker
        "wokenAt" = 'epoch',
        "finishedAt" = now()
      FROM "Search" q
      WHERE s.id = ${lease.stepId} AND s.state = 'RUNNING' AND s."fencingToken" = ${lease.fencingToken}
        AND q.id = s."searchId"
      RETURNING s.state::text`
    if (step === undefined) {
      await countRefusal(tx, lease.workerId)
      return 'refused'
    }
    await clearCurrentStep(tx, lease)
    const retrying = step.state === 'PENDING'
    const { kind, round, index } = lease
    await appendEvents(tx, lease, [{ type: 'failure', data: { kind, round, index, retrying, error } }])
    return retrying ? 'retrying' : 'failed'
  })
}

/** See `StepStore.release`. */
export async function releaseStep({ transaction }: Database, lease: LeaseKey): Promise<void> {
  await transaction(async (tx) => {
    await tx.$executeRaw`
      UPDATE "Step" s SET
        state = CASE WHEN q.state IN ${endedStates} THEN 'CANCELLED' ELSE 'PENDING' END::"StepState",
        attempts = s.attempts - 1, "leaseExpiresAt" = NULL, "workerId" = NULL,
        "availableAt" = now(), "wokenAt" = 'epoch',
        "finishedAt" = CASE WHEN q.state IN ${endedStates} THEN now() END
      FROM "Search" q
      WHERE s.id = ${lease.stepId} AND s.state = 'RUNNING' AND s."fencingToken" = ${lease.fencingToken}
        AND q.id = s."searchId"`
    await clearCurrentStep(tx, lease)
  })
}

async function clearCurrentStep(tx: Queryable, { workerId, stepId }: LeaseKey): Promise<void> {
  await tx.worker.updateMany({ where: { id: workerId, currentStepId: stepId }, data: { currentStepId: null } })
}
