import type { StepKind, StepResult } from '@espalier/contracts'
import type { Database, Queryable } from './database.js'
import { appendEvents } from './events.js'
import { packResult } from './packed-result.js'
import type { Lease, LeaseKey, StepEffects } from './records.js'
import { recordEffects } from './step-effects.js'

/** See `StepStore.complete`. */
export function completeStep<K extends StepKind>(
  { transaction }: Database,
  lease: Lease<K>,
  result: StepResult<K>,
  effects: StepEffects<K>,
): Promise<'recorded' | 'refused'> {
  return transaction(async (tx) => {
    const taken = await tx.$executeRaw`
      UPDATE "Step" SET
        state = 'DONE', result = ${JSON.stringify(packResult(lease.kind, result))}::jsonb, error = NULL, "leaseExpiresAt" = NULL, "finishedAt" = now()
      WHERE id = ${lease.stepId} AND state = 'RUNNING' AND "fencingToken" = ${lease.fencingToken}`
    if (taken === 0) {
      if (await isRecorded(tx, lease)) return 'recorded'
      await countRefusal(tx, lease.workerId)
      return 'refused'
    }
    const events = await recordEffects(tx, lease, result, effects)
    await tx.$executeRaw`
      UPDATE "Worker" SET
        "doneSteps" = "doneSteps" + 1,
        "currentStepId" = CASE WHEN "currentStepId" = ${lease.stepId} THEN NULL ELSE "currentStepId" END
      WHERE id = ${lease.workerId}`
    await appendEvents(tx, lease, [...events, ...(effects.events ?? [])])
    return 'recorded'
  })
}

/** Whether this very claim was recorded before: the worker repeats itself because the answer did not reach it. */
async function isRecorded(tx: Queryable, { stepId, fencingToken, workerId }: LeaseKey): Promise<boolean> {
  const row = await tx.step.findFirst({
    where: { id: stepId, state: 'DONE', fencingToken, workerId },
    select: { id: true },
  })
  return row !== null
}

export async function countRefusal(tx: Queryable, workerId: string): Promise<void> {
  await tx.$executeRaw`UPDATE "Worker" SET "refusedResults" = "refusedResults" + 1 WHERE id = ${workerId}`
}
