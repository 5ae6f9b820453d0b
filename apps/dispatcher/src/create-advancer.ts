import { recordError, roleOfStep, type SearchPlan, type SearchSource, workerRoles } from '@espalier/contracts'
import type { WorkQueue } from '@espalier/queue'
import type { Logger } from '@espalier/runtime'
import { createSearchPlanner, type SearchPlanner } from '@espalier/search'
import type { StepRef, Store } from '@espalier/store'
import { describeMisfit, EvaluatorNeeds, liveEvaluatorsOf } from './describe-misfit.js'
import { describeWait, OpenSteps } from './describe-wait.js'

export interface AdvancerOptions {
  readonly store: Store
  readonly queue: WorkQueue
  readonly logger: Logger
}

/** Brings searches up to date: plans from the rows, writes the plan, wakes the workers that have something to do. */
export interface Advancer {
  /** Calls for the same search that come while one is under way are served by one more, after it. */
  advance(searchId: string): Promise<void>
  /** Forgets what was planned last of all searches but these. */
  keepOnly(searchIds: readonly string[]): void
}

/** What the last plan of a search has read. */
interface LastPlan {
  /** Of the steps that were open. */
  readonly mark: string
  readonly needs: EvaluatorNeeds
}

export function createAdvancer({ store, queue, logger }: AdvancerOptions): Advancer {
  const running = new Map<string, Promise<void>>()
  const again = new Set<string>()
  const lastPlans = new Map<string, LastPlan>()

  const advanceOnce = async (searchId: string): Promise<void> => {
    const last = lastPlans.get(searchId)
    const unchanged = last && (await findUnchanged(searchId, last))
    if (unchanged) await writeWaitReason(searchId, unchanged, last.needs)
    else await planAndWrite(searchId)
  }

  /**
   * The open steps of a search when they are those that its last plan has read, in the same states: then there is nothing
   * to plan. Steps that have ended change no more, and new ones are created only when all before them have ended, so what
   * else a plan reads follows from these. What this process does not remember it plans anew.
   */
  const findUnchanged = async (searchId: string, { mark }: LastPlan): Promise<OpenSteps | undefined> => {
    if (mark === '') return undefined
    const open = new OpenSteps()
    for (const step of (await store.steps.listOpen(searchId)) ?? []) open.add(step)
    return open.mark === mark ? open : undefined
  }

  const planAndWrite = async (searchId: string): Promise<void> => {
    lastPlans.delete(searchId)
    let open: OpenSteps | undefined
    let needs: EvaluatorNeeds | undefined
    const advanced = await store.searches
      .advance(searchId, async (source) => {
        const planner = createSearchPlanner(source)
        const [steps, evaluator] = [new OpenSteps(), new EvaluatorNeeds(source)]
        for await (const step of source.steps) {
          planner.add(step)
          steps.add(step)
          evaluator.add(step)
        }
        open = steps
        needs = evaluator
        return { ...planOrFail(planner, source), memoryNeeds: evaluator.memory }
      })
      .catch((error: unknown) => failUnplannable(searchId, error))
    if (!advanced) return
    await wakeWorkers(queue, advanced.created)
    if (advanced.created.length > 0)
      logger.info({ searchId, ...advanced, created: advanced.created.length }, 'advanced')
    if (!open || !needs) return
    lastPlans.set(searchId, { mark: open.mark, needs })
    await writeWaitReason(searchId, open, needs)
  }

  /** It depends on workers and other searches, too: looked at whether or not there was something to plan. */
  const writeWaitReason = async (searchId: string, open: OpenSteps, needs: EvaluatorNeeds): Promise<void> =>
    store.searches.setWaitReason(searchId, await explainWait(open, needs))

  const explainWait = async (open: OpenSteps, needs: EvaluatorNeeds): Promise<string | null> => {
    if (open.running === 0 && open.pending.has('evaluator')) {
      const misfit = describeMisfit(needs, liveEvaluatorsOf(await store.workers.list()))
      if (misfit !== null) return misfit
    }
    return describeWait(open, await store.steps.loadByRole())
  }

  /** A record that cannot be planned today cannot be planned tomorrow: the search ends with the cause. */
  const failUnplannable = async (searchId: string, error: unknown): Promise<undefined> => {
    if (!(error instanceof UnplannableError)) throw error
    logger.error({ searchId, err: error.cause }, 'the search cannot be planned')
    await store.searches.fail(searchId, recordError(error.cause))
    return undefined
  }

  const advance = async (searchId: string): Promise<void> => {
    const current = running.get(searchId)
    if (current) {
      again.add(searchId)
      return current
    }
    const work = advanceOnce(searchId).finally(() => running.delete(searchId))
    running.set(searchId, work)
    await work
    if (again.delete(searchId)) await advance(searchId)
  }
  const keepOnly = (searchIds: readonly string[]): void => {
    const kept = new Set(searchIds)
    for (const searchId of lastPlans.keys()) if (!kept.has(searchId)) lastPlans.delete(searchId)
  }
  return { advance, keepOnly }
}

/** Tells an error of the plan from one of the database. */
class UnplannableError extends Error {}

function planOrFail(planner: SearchPlanner, { earlier }: SearchSource): SearchPlan {
  try {
    return planner.plan(earlier)
  } catch (error) {
    throw new UnplannableError('the plan failed', { cause: error })
  }
}

async function wakeWorkers(queue: WorkQueue, created: readonly StepRef[]): Promise<void> {
  for (const role of workerRoles) {
    const ids = created.filter((step) => roleOfStep[step.kind] === role).map((step) => step.id)
    if (ids.length > 0) await queue.wake(role, ids)
  }
}
