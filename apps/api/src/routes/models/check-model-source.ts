import { EspalierError, type ModelShape } from '@espalier/contracts'
import { readModelShape } from '@espalier/model-graph'
import { type ModelHubOptions, outlineModelSource } from '@espalier/model-hub'

export interface CheckedSource {
  readonly source: string
  /** Commit. */
  readonly revision: string
  /** That of the repository. */
  readonly name: string
  /** By `config.json` alone. */
  readonly shape: ModelShape
}

/** Somebody waits for the answer: a hub that is slow or busy is reported rather than waited for. */
const patience = { attempts: 2, backoffMs: 200, stallMs: 5_000, maxRetryAfterMs: 1_000 }
const longestMs = 15_000

/**
 * Asks the hub about a model: its commit, `config.json`, and whether the files that are needed are there.
 *
 * @throws MODEL_* of `outlineModelSource` and `readModelShape`; MODEL_DOWNLOAD_FAILED when the hub takes too long
 */
export async function checkModelSource(source: string, hub: ModelHubOptions): Promise<CheckedSource> {
  const signal = AbortSignal.timeout(longestMs)
  const outlined = await outlineModelSource(source, { ...patience, ...hub, signal }).catch((error: unknown) => {
    throw signal.aborted && !(error instanceof EspalierError) ? tooSlow(source, hub) : error
  })
  const { shape } = await readModelShape(outlined.directory)
  const name = outlined.source.replace(/^hf:\/\/(?:[^/]+\/)?/, '').replace(/@.*$/, '')
  return { source: outlined.source, revision: outlined.revision, name, shape }
}

function tooSlow(source: string, { endpoint }: ModelHubOptions): EspalierError {
  const where = endpoint ?? 'the hub'
  return new EspalierError(
    'MODEL_DOWNLOAD_FAILED',
    `${source}: ${where} did not answer within ${longestMs / 1000} s; try again`,
    { source, endpoint: where },
  )
}
