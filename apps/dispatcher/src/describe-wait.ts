import { roleOfStep, type WorkerRole, workerRoles } from '@espalier/contracts'
import type { OpenStep, RoleLoad } from '@espalier/store'

/** Steps of one search that have not ended. */
export class OpenSteps {
  readonly pending = new Set<WorkerRole>()
  running = 0
  #activity: string | null = null
  #atWork = 0
  readonly #marks: string[] = []

  /** Steps that have ended are passed over. */
  add({ kind, round, index, state, activity }: OpenStep): void {
    if (state !== 'PENDING' && state !== 'RUNNING') return
    this.#marks.push(`${round}/${kind}/${index}/${state}`)
    if (state === 'PENDING') this.pending.add(roleOfStep[kind])
    if (state !== 'RUNNING') return
    this.running++
    if (activity) this.#activity ??= activity
    else this.#atWork++
  }

  /**
   * Of each step which one it is and its state: all that a plan reads of it. Empty: all have ended. Steps come by round,
   * kind and index, so the same mark means the same steps.
   */
  get mark(): string {
    return this.#marks.join()
  }

  /** What keeps all running ones from their work, as one of them says; null: at least one is at it. */
  get activity(): string | null {
    return this.#atWork > 0 ? null : this.#activity
  }
}

/** Why a search stands still, as a sentence for people; null: it does not, or will start in a moment. */
export function describeWait(
  open: Pick<OpenSteps, 'pending' | 'running' | 'activity'>,
  load: Readonly<Record<WorkerRole, RoleLoad>>,
): string | null {
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
