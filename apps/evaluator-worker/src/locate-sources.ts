import {
  type DownloadProgress,
  isRemoteSource,
  type ModelHubOptions,
  pinModelSource,
  resolveModelSource,
  resolveTextSource,
} from '@espalier/model-hub'
import type { Lease } from '@espalier/store'
import type { EvaluatorContext, StepContext } from './evaluator-context.js'

/** How often people are told how far a download is. */
const tellEveryMs = 1_000
/** Nobody stands and waits for it: a hub that is away for some minutes fails no search. */
const attempts = 9

type DownloadContext = Pick<EvaluatorContext, 'store' | 'hub'>

/**
 * Folder of a step's model on this machine. A model with a source is downloaded by the evaluator that first needs it;
 * what is there already is found without a question to the hub, and what came before a kill is not fetched again.
 * While it lasts, the search says how far it is.
 *
 * @throws EspalierError of `resolveModelSource`; the reason of the signal when the lease is lost or the search cancelled
 */
export async function locateModel(context: DownloadContext, lease: Lease, step: StepContext): Promise<string> {
  const { path, source, revision } = lease.model
  if (path !== null) return path
  const { directory } = await download(context, lease, step, `model ${source}`, (options) =>
    resolveModelSource(pinModelSource(source, revision), options),
  )
  return directory
}

/**
 * A text of a search as `readText` takes it, downloaded like the model where it is a file of a data set of the hub.
 *
 * @throws EspalierError of `resolveTextSource`; the reason of the signal
 */
export async function locateText(
  context: DownloadContext,
  lease: Lease,
  step: StepContext,
  source: string,
): Promise<string> {
  if (!isRemoteSource(source)) return source
  return download(context, lease, step, `text ${source}`, (options) => resolveTextSource(source, options))
}

/** Runs a download and tells people how far it is. */
async function download<T>(
  { store, hub }: DownloadContext,
  lease: Lease,
  step: StepContext,
  what: string,
  resolve: (options: ModelHubOptions) => Promise<T>,
): Promise<T> {
  let latest: string | null = null
  let told: string | null = null
  let telling = Promise.resolve()
  /** One after the other. Only for people: what cannot be told now is told the next time. */
  const tell = (activity: string | null) => {
    if (activity === told) return
    told = activity
    telling = telling
      .then(() => store.steps.reportActivity(lease, activity))
      .catch((err: unknown) => step.logger.warn({ err }, 'the progress of a download was not recorded'))
  }
  const timer = setInterval(() => tell(latest), tellEveryMs)
  const onProgress = (progress: DownloadProgress) => {
    latest = `downloading ${what}: ${describeProgress(progress)}`
  }
  try {
    return await resolve({ attempts, ...hub, signal: step.signal, onProgress })
  } finally {
    clearInterval(timer)
    tell(null)
    await telling
  }
}

function describeProgress({ bytesDone, bytesTotal, etaSeconds }: DownloadProgress): string {
  const total = bytesTotal === null ? '' : ` of ${megabytes(bytesTotal)}`
  const left = etaSeconds === null ? '' : `, about ${Math.ceil(etaSeconds / 60)} min left`
  return `${megabytes(bytesDone)}${total} MB${left}`
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}
