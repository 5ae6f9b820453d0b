import { type StepKind, type StepResult, type WorkerRole, workerRoles } from '@espalier/contracts'
import { claimNextStep, claimStep, renewLease, reportActivity } from './claim-step.js'
import { completeStep } from './complete-step.js'
import type { Database } from './database.js'
import { failStep, releaseStep } from './fail-step.js'
import { listFollowing } from './following-steps.js'
import { fromJson } from './json.js'
import { kindsOfRole, milliseconds, workerAliveMs } from './lease-rules.js'
import { unpackResult } from './packed-result.js'
import type { RoleLoad } from './records.js'
import { idleStates, listOpenSteps } from './search-rows.js'
import type { StepStore } from './store.js'
import { sweepSteps } from './sweep-steps.js'

export function createStepStore(database: Database): StepStore {
  return {
    claim: (stepId, options) => claimStep(database, stepId, options),
    claimNext: (role, options) => claimNextStep(database, role, options),
    heartbeat: (lease, leaseMs) => renewLease(database, lease, leaseMs),
    complete: (lease, result, effects) => completeStep(database, lease, result, effects),
    fail: (lease, error, options) => failStep(database, lease, error, options),
    reportActivity: (lease, activity) => reportActivity(database, lease, activity),
    release: (lease) => releaseStep(database, lease),
    sweep: ({ staleWakeMs }) => sweepSteps(database, staleWakeMs),
    findResult: (searchId, kind, round, index) => findResult(database, { searchId, kind, round, index }),
    listOpen: (searchId) => listOpenSteps(database.client, searchId),
    listFollowing: (lease) => listFollowing(database, lease),
    loadByRole: () => loadByRole(database),
  }
}

async function findResult<K extends StepKind>(
  { client }: Database,
  key: { searchId: string; kind: K; round: number; index: number },
): Promise<StepResult<K> | undefined> {
  const row = await client.step.findFirst({ where: { ...key, state: 'DONE' }, select: { result: true } })
  return row === null ? undefined : fromJson<StepResult<K>>(unpackResult(key.kind, row.result))
}

async function loadByRole({ client }: Database): Promise<Readonly<Record<WorkerRole, RoleLoad>>> {
  const steps = await client.$queryRaw<{ kind: StepKind; pending: number; running: number }[]>`
    SELECT s.kind::text,
      count(*) FILTER (WHERE s.state = 'PENDING' AND s."availableAt" <= now())::int AS pending,
      count(*) FILTER (WHERE s.state = 'RUNNING')::int AS running
    FROM "Step" s JOIN "Search" q ON q.id = s."searchId"
    WHERE s.state IN ('PENDING', 'RUNNING') AND q.state NOT IN ${idleStates}
    GROUP BY s.kind`
  const workers = await client.$queryRaw<{ role: string; live: number }[]>`
    SELECT role::text, count(*)::int AS live FROM "Worker"
    WHERE "heartbeatAt" > now() - ${milliseconds(workerAliveMs)} GROUP BY role`

  const loadOf = (role: WorkerRole): RoleLoad => {
    const kinds = kindsOfRole(role)
    const own = steps.filter((step) => kinds.includes(step.kind))
    return {
      pending: own.reduce((sum, step) => sum + step.pending, 0),
      running: own.reduce((sum, step) => sum + step.running, 0),
      liveWorkers: workers.find((worker) => worker.role === role)?.live ?? 0,
    }
  }
  return fromJson(Object.fromEntries(workerRoles.map((role) => [role, loadOf(role)])))
}
