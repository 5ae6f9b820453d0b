import { readFile } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { loadTokenizer } from '@espalier/model-graph'
import { readText, type TextDescription } from '@espalier/text-data'

/** Where tokens come from: a text for the model's tokenizer, or a JSON array of token ids. */
export type TokenSource = { readonly text: string } | { readonly ids: string }

export interface SourceTokens {
  readonly ids: Int32Array
  /** UTF-8 bytes of the text up to the end of each token (see `TokensWithEnds`); null for ids. */
  readonly byteEnds: Int32Array | null
  /** What was tokenised, with its hash; null for ids. */
  readonly text: (TextDescription & { readonly hash: string }) | null
}

/**
 * Token ids of a text, without special tokens, or of an ids file as they stand.
 * @param atLeast ids that are wanted: what follows may be left out; null: all
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID, TEXT_TOO_SHORT, MODEL_TOKENIZER_MISSING, MODEL_TOKENIZER_INVALID
 */
export async function readTokens(
  source: TokenSource,
  modelDirectory: string,
  atLeast: number | null,
): Promise<SourceTokens> {
  if ('ids' in source) return { ids: parseIds(await read(source.ids), source.ids), byteEnds: null, text: null }
  const [tokenizer, found] = await Promise.all([loadTokenizer(modelDirectory), readText(source.text)])
  const tokens = await tokenizer.encodeWithEnds(found.text, atLeast)
  return { ...tokens, text: { hash: found.textHash, ...found.description } }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EspalierError('TEXT_NOT_FOUND', `${file} cannot be read: ${reason}`, { file }, { cause })
  }
}

function parseIds(json: string, file: string): Int32Array {
  const invalid = (what: string) =>
    new EspalierError(
      'TEXT_NOT_FOUND',
      `${file} is not a list of token ids: ${what}; it must be a JSON array of whole numbers`,
      {
        file,
      },
    )
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw invalid(cause instanceof Error ? cause.message : String(cause))
  }
  if (!Array.isArray(value)) throw invalid(`it holds ${value === null ? 'null' : `a value of type ${typeof value}`}`)
  return Int32Array.from(value, (id: unknown, position) => {
    if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id < 2 ** 31) return id
    throw invalid(`entry ${position} is ${JSON.stringify(id)}`)
  })
}

/**
 * Windows to use: as many as wanted, or all the tokens give.
 * @param windows null: all
 * @throws EspalierError TEXT_TOO_SHORT
 */
export function chooseWindows(tokens: number, windowLength: number, windows: number | null, name: string): number {
  const available = Math.floor(tokens / windowLength)
  const wanted = windows ?? Math.max(1, available)
  if (wanted <= available) return wanted
  throw new EspalierError(
    'TEXT_TOO_SHORT',
    `${name} has ${tokens} tokens, which is ${available} whole windows of ${windowLength}; ${wanted} wanted`,
    { tokens, windowLength, available, wanted },
  )
}
