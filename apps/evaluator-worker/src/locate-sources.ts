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
import { describeSeconds, withActivity } from './tell-activity.js'

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
function download<T>(
  { store, hub }: DownloadContext,
  lease: Lease,
  step: StepContext,
  what: string,
  resolve: (options: ModelHubOptions) => Promise<T>,
): Promise<T> {
  return withActivity({ store }, lease, step, (tell) => {
    const onProgress = (progress: DownloadProgress) => tell(`downloading ${what}: ${describeProgress(progress)}`)
    return resolve({ attempts, ...hub, signal: step.signal, onProgress })
  })
}

function describeProgress({ bytesDone, bytesTotal, etaSeconds }: DownloadProgress): string {
  const total = bytesTotal === null ? '' : ` of ${megabytes(bytesTotal)}`
  const left = etaSeconds === null ? '' : `, about ${describeSeconds(etaSeconds)} left`
  return `${megabytes(bytesDone)}${total} MB${left}`
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1)
}
