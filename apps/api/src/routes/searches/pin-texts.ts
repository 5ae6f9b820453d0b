import { type SearchSettings, splits } from '@espalier/contracts'
import { isRemoteSource, type ModelHubOptions, pinTextSource } from '@espalier/model-hub'
import { askHub } from '../../ask-hub.js'

type Texts = SearchSettings['texts']

/**
 * Texts that are files of a data set of the hub, pinned to the commits that their revisions have now; the others as
 * they are.
 *
 * @throws TEXT_NOT_FOUND, MODEL_SOURCE_INVALID, MODEL_ACCESS_DENIED, MODEL_DOWNLOAD_FAILED
 */
export async function pinTexts(texts: Texts, hub: ModelHubOptions): Promise<Texts> {
  const pinned = { ...texts }
  for (const split of splits) {
    const source = texts[split]
    if (isRemoteSource(source)) pinned[split] = await askHub(hub, source, (options) => pinTextSource(source, options))
  }
  return pinned
}
