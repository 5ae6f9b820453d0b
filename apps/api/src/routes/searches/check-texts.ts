import { access, constants, readFile, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { EspalierError, type RequestError, type SearchSettings, type Split, splits } from '@espalier/contracts'
import { decodeText, loadTokenizer } from '@espalier/model-graph'
import { RequestRejected } from '../../problems/request-rejected.js'

/** A text of more bytes a token than this is no language: below it, tokens have to be counted to be sure. */
const mostBytesPerToken = 16

/**
 * Refuses texts that cannot be read or hold less than one window. A token stands for at least one byte, so most
 * texts are known to be long enough by their size alone; only doubtful ones are tokenised here.
 *
 * @throws REQUEST_INVALID for a relative path, TEXT_NOT_FOUND, TEXT_INVALID, TEXT_TOO_SHORT with split, path, tokens and window
 */
export async function checkTexts(settings: SearchSettings, modelDirectory: string): Promise<void> {
  const errors = splits.flatMap((split) => pathErrors(split, settings.texts[split]))
  if (errors.length > 0) throw new RequestRejected(errors)
  for (const split of splits) await checkText(split, settings, modelDirectory)
}

function pathErrors(split: Split, path: string): RequestError[] {
  if (isAbsolute(path) && !path.includes('\0')) return []
  return [
    { in: 'body', path: `/texts/${split}`, message: 'must be an absolute path of a file on the server', value: path },
  ]
}

async function checkText(split: Split, settings: SearchSettings, modelDirectory: string): Promise<void> {
  const path = settings.texts[split]
  const { windowLength } = settings
  const bytes = await sizeOf(path, split)
  if (bytes >= windowLength * mostBytesPerToken) return
  const tokens = bytes < windowLength ? bytes : await countTokens(path, modelDirectory)
  if (tokens >= windowLength) return
  const most = bytes < windowLength ? 'at most ' : ''
  throw new EspalierError(
    'TEXT_TOO_SHORT',
    `The ${split} text ${path} has ${most}${tokens} tokens; one window needs ${windowLength}`,
    { split, path, tokens, windowLength },
  )
}

async function sizeOf(path: string, split: Split): Promise<number> {
  try {
    const found = await stat(path)
    if (!found.isFile()) throw new Error('it is not a file')
    await access(path, constants.R_OK)
    return found.size
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `The ${split} text ${path} cannot be read: ${reason}`
    throw new EspalierError('TEXT_NOT_FOUND', message, { split, path }, { cause })
  }
}

async function countTokens(path: string, modelDirectory: string): Promise<number> {
  const tokenizer = await loadTokenizer(modelDirectory)
  const ids = await tokenizer.encode(decodeText(await readFile(path), path))
  return ids.length
}
