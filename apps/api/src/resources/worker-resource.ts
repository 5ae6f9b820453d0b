import type { WorkerResource } from '@espalier/contracts'
import type { WorkerRow } from '@espalier/store'

export function workerResource(row: WorkerRow): WorkerResource {
  return {
    id: row.id,
    role: row.role,
    node: row.node,
    pid: row.pid,
    alive: row.alive,
    details: { ...row.details },
    startedAt: row.startedAt.toISOString(),
    heartbeatAt: row.heartbeatAt.toISOString(),
    currentStepId: row.currentStepId,
    doneSteps: row.doneSteps,
    refusedResults: row.refusedResults,
  }
}
