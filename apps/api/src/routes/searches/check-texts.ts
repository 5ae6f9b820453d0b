import { isAbsolute } from 'node:path'
import { EspalierError, type RequestError, type SearchSettings, type Split, splits } from '@espalier/contracts'
import { loadTokenizer } from '@espalier/model-graph'
import { isRemoteSource } from '@espalier/model-hub'
import { readTextStart } from '@espalier/text-data'
import { RequestRejected } from '../../problems/request-rejected.js'

/** A text of more bytes a token than this is no language: below it, tokens have to be counted to be sure. */
const mostBytesPerToken = 16

/**
 * Refuses local texts that cannot be read or hold less than one window. Only the start of a text is read: a token stands for
 * at least one byte, so most are known to be long enough by their size alone; only doubtful ones are tokenised here,
 * and when the search is prepared those of a model that is still to be downloaded.
 *
 * @throws REQUEST_INVALID for a relative path, TEXT_NOT_FOUND, TEXT_INVALID, TEXT_TOO_SHORT with split, path, tokens
 *   and window
 */
export async function checkTexts(settings: SearchSettings, modelDirectory: string | null): Promise<void> {
  const local = splits.filter((split) => !isRemoteSource(settings.texts[split]))
  const errors = local.flatMap((split) => pathErrors(split, settings.texts[split]))
  if (errors.length > 0) throw new RequestRejected(errors)
  for (const split of local) await checkText(split, settings, modelDirectory)
}

function pathErrors(split: Split, path: string): RequestError[] {
  if (isAbsolute(path) && !path.includes('\0')) return []
  return [
    {
      in: 'body',
      path: `/texts/${split}`,
      message: 'must be an absolute path on the server, or hf://datasets/org/name/path',
      value: path,
    },
  ]
}

async function checkText(split: Split, settings: SearchSettings, modelDirectory: string | null): Promise<void> {
  const path = settings.texts[split]
  const { windowLength } = settings
  const { text, bytes, isWhole } = await readTextStart(path, windowLength * mostBytesPerToken, { purpose: split })
  if (!isWhole) return
  const tokens = bytes < windowLength || modelDirectory === null ? bytes : await countTokens(text, modelDirectory)
  if (tokens >= windowLength) return
  const most = bytes < windowLength ? 'at most ' : ''
  throw new EspalierError(
    'TEXT_TOO_SHORT',
    `The ${split} text ${path} has ${most}${tokens} tokens; one window needs ${windowLength}`,
    { split, path, tokens, windowLength },
  )
}

async function countTokens(text: string, modelDirectory: string): Promise<number> {
  const tokenizer = await loadTokenizer(modelDirectory)
  const ids = await tokenizer.encode(text)
  return ids.length
}
