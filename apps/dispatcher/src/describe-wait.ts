import { roleOfStep, type StepRecord, type WorkerRole, workerRoles } from '@espalier/contracts'
import type { RoleLoad } from '@espalier/store'

/** Steps of one search that have not ended. */
export interface OpenSteps {
  readonly pending: ReadonlySet<WorkerRole>
  readonly running: number
  /** What keeps all running ones from their work, as one of them says; null: at least one is at it. */
  readonly activity: string | null
}

export function openStepsOf(steps: readonly StepRecord[]): OpenSteps {
  const pending = steps.filter((step) => step.state === 'PENDING')
  const running = steps.filter((step) => step.state === 'RUNNING')
  return {
    pending: new Set(pending.map((step) => roleOfStep[step.kind])),
    running: running.length,
    activity: running.every((step) => step.activity) ? (running[0]?.activity ?? null) : null,
  }
}

/** Why a search stands still, as a sentence for people; null: it does not, or will start in a moment. */
export function describeWait(open: OpenSteps, load: Readonly<Record<WorkerRole, RoleLoad>>): string | null {
  if (open.running > 0) return open.activity
  for (const role of workerRoles) {
    if (!open.pending.has(role)) continue
    const { liveWorkers, running, pending } = load[role]
    if (liveWorkers === 0) return `no ${role} worker is running`
    if (running >= liveWorkers) {
      const noun = liveWorkers === 1 ? `the ${role} worker is` : `all ${liveWorkers} ${role} workers are`
      return `${noun} busy with other searches, ${pending} steps are in line`
    }
  }
  return null
}
