import { EspalierError, recordError, type StepKind } from '@espalier/contracts'
import { bindLogger, type Logger, retry } from '@espalier/runtime'
import { isConnectionError, type Lease, type Store } from '@espalier/store'
import { keepLease, type StopReason, WorkStoppedError } from './keep-lease.js'
import type { Processor, Processors, StepOutcome } from './processor.js'

export interface PerformOptions {
  readonly store: Pick<Store, 'steps'>
  readonly logger: Logger
  readonly leaseMs: number
  readonly processors: Processors
  /** Aborted when the worker stops and has waited long enough. */
  readonly stopping: AbortSignal
}

/** Does one claimed step to its end: recorded, failed, given back, or left to whoever has it now. Never throws. */
export async function performStep(options: PerformOptions, lease: Lease): Promise<void> {
  const { store, leaseMs } = options
  const { searchId, stepId, kind } = lease
  const evaluation = kind === 'evaluate' ? { evaluationId: stepId } : {}
  const logger = bindLogger(options.logger, { searchId, stepId, stepKind: kind, ...evaluation })
  const work = new AbortController()
  const stop = (reason: StopReason) => work.abort(new WorkStoppedError(reason))
  const onStopping = () => stop('stopping')
  options.stopping.addEventListener('abort', onStopping)
  const keeper = keepLease({ store, lease, leaseMs, logger, onStop: stop })
  try {
    const outcome = await process(options.processors, lease, { signal: work.signal, logger })
    await recordOutcome(options, lease, outcome, logger)
  } catch (error) {
    await recordFailure(options, lease, work.signal.aborted ? work.signal.reason : error, logger).catch(
      (unwritten: unknown) =>
        logger.error({ err: unwritten }, 'the outcome could not be written; the lease will run out'),
    )
  } finally {
    keeper.stop()
    options.stopping.removeEventListener('abort', onStopping)
  }
}

async function process<K extends StepKind>(
  processors: Processors,
  lease: Lease,
  context: Parameters<Processor<K>>[1],
): Promise<StepOutcome<K>> {
  // kind and lease belong together: the lease's kind chose the processor
  const processor = processors[lease.kind] as Processor<K> | undefined
  if (!processor) throw new EspalierError('INTERNAL', `This worker does not do ${lease.kind} steps`)
  return processor(lease as Lease<K>, context)
}

async function recordOutcome(
  options: PerformOptions,
  lease: Lease,
  outcome: StepOutcome<StepKind>,
  logger: Logger,
): Promise<void> {
  const outcomeOfStep = await persist(options, logger, () =>
    options.store.steps.complete(lease, outcome.result, outcome.effects),
  )
  if (outcomeOfStep === 'refused')
    logger.warn({ fencingToken: lease.fencingToken }, 'result refused: a newer claim exists')
  else logger.info({ ms: millisecondsOf(outcome.result) }, 'step done')
}

async function recordFailure(options: PerformOptions, lease: Lease, error: unknown, logger: Logger): Promise<void> {
  const { steps } = options.store
  if (error instanceof WorkStoppedError) {
    logger.info({ reason: error.reason }, 'work stopped')
    if (error.reason !== 'lost') await persist(options, logger, () => steps.release(lease))
    return
  }
  // nobody's fault: the step waits until the database is back
  if (isConnectionError(error)) {
    await persist(options, logger, () => steps.release(lease))
    return
  }
  const recorded = recordError(error, 'EVALUATION_FAILED')
  const retryable = error instanceof EspalierError ? error.retryable : true
  const next = await persist(options, logger, () => steps.fail(lease, recorded, { retryable }))
  logger.error({ err: error, next }, 'step failed')
}

/** Attempts of a write that fails although the database answers: a row may be held for long, but not for ever. */
const ATTEMPTS_WHEN_CONNECTED = 3

/** Writes until it is written: a database that is away, for however long, costs no result. */
async function persist<T>(options: PerformOptions, logger: Logger, write: () => Promise<T>): Promise<T> {
  let refusals = 0
  return retry(write, {
    attempts: Number.POSITIVE_INFINITY,
    while: (error) => isConnectionError(error) || ++refusals < ATTEMPTS_WHEN_CONNECTED,
    backoffMs: 100,
    signal: options.stopping,
    onRetry: (error, attempt) =>
      attempt === 1 && logger.warn({ err: error }, 'the database did not take the outcome; it is kept and tried again'),
  })
}

function millisecondsOf(result: StepOutcome<StepKind>['result']): number | undefined {
  return 'seconds' in result ? Math.round(result.seconds * 1000) : undefined
}
