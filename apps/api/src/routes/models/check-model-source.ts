import type { ModelShape } from '@espalier/contracts'
import { readModelShape } from '@espalier/model-graph'
import { type ModelHubOptions, outlineModelSource } from '@espalier/model-hub'
import { askHub } from '../../ask-hub.js'

export interface CheckedSource {
  readonly source: string
  /** Commit. */
  readonly revision: string
  /** That of the repository. */
  readonly name: string
  /** By `config.json` alone. */
  readonly shape: ModelShape
}

/**
 * Asks the hub about a model: its commit, `config.json`, and whether the files that are needed are there.
 *
 * @throws MODEL_* of `outlineModelSource`, `readModelShape` and `askHub`
 */
export async function checkModelSource(given: string, hub: ModelHubOptions): Promise<CheckedSource> {
  const { source, revision, directory } = await askHub(hub, given, (options) => outlineModelSource(given, options))
  const { shape } = await readModelShape(directory)
  const name = source.replace(/^hf:\/\/(?:[^/]+\/)?/, '').replace(/@.*$/, '')
  return { source, revision, name, shape }
}
