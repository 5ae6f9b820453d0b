import type { ModuleWork } from '@espalier/evaluator'
import type { Lease } from '@espalier/store'
import type { EvaluatorContext, StepContext } from './evaluator-context.js'

/** How often people are told how far a step is. */
const tellEveryMs = 1_000

/**
 * Runs something that may take long; while it lasts, the search says what it last told of itself.
 * @param run gets what to tell by; only what stands after each second is told
 */
export async function withActivity<T>(
  { store }: Pick<EvaluatorContext, 'store'>,
  lease: Lease,
  step: StepContext,
  run: (tell: (activity: string) => void) => Promise<T>,
): Promise<T> {
  let latest: string | null = null
  let told: string | null = null
  let telling = Promise.resolve()
  /** One after the other. Only for people: what cannot be told now is told the next time. */
  const tellNow = (activity: string | null) => {
    if (activity === told) return
    told = activity
    telling = telling
      .then(() => store.steps.reportActivity(lease, activity))
      .catch((err: unknown) => step.logger.warn({ err }, 'how far a step is was not recorded'))
  }
  const timer = setInterval(() => tellNow(latest), tellEveryMs)
  try {
    return await run((activity) => {
      latest = activity
    })
  } finally {
    clearInterval(timer)
    tellNow(null)
    await telling
  }
}

const tasks: Record<ModuleWork['task'], string> = {
  eliminate: 'ranking units for the metric obs',
  fit: 'fitting the weights of a policy',
}

/** Tells how far work on one module after the other is, and how long the rest takes if all take as long. */
export function tellModules(
  tell: (activity: string) => void,
  now = () => performance.now(),
): (work: ModuleWork) => void {
  let first: { readonly task: string; readonly done: number; readonly at: number } | null = null
  return ({ task, done, modules }) => {
    if (first?.task !== task) first = { task, done, at: now() }
    const seconds = (now() - first.at) / 1000
    const left = done > first.done ? ((modules - done) * seconds) / (done - first.done) : null
    tell(
      `${tasks[task]}: module ${done + 1} of ${modules}${left === null ? '' : `, about ${describeSeconds(left)} left`}`,
    )
  }
}

export function describeSeconds(seconds: number): string {
  return seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`
}
