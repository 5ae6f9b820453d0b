import { EspalierError, type Split } from '@espalier/contracts'
import { countWindowBytes } from '@espalier/evaluator'
import type { TextTokenizer } from '@espalier/model-graph'
import { readText } from '@espalier/text-data'

export interface TokenisedText {
  readonly ids: Int32Array
  /** SHA-256 of the text as UTF-8. */
  readonly textHash: string
  /** Whole windows; the rest is dropped. */
  readonly windows: number
  /** UTF-8 bytes that the predicted tokens of each window cover. */
  readonly windowBytes: readonly number[]
}

/**
 * Tokenises a whole text without special tokens and counts its non-overlapping windows.
 *
 * @param source a file, or the rows of a data set: see `readText`
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID, TEXT_TOO_SHORT
 */
export async function tokeniseText(
  tokenizer: TextTokenizer,
  split: Split,
  source: string,
  windowLength: number,
): Promise<TokenisedText> {
  const { text, textHash } = await readText(source, { purpose: split })
  const { ids, byteEnds } = await tokenizer.encodeWithEnds(text, null)
  const windows = Math.floor(ids.length / windowLength)
  if (windows < 1) {
    throw new EspalierError(
      'TEXT_TOO_SHORT',
      `The ${split} text ${source} has ${ids.length} tokens; one window needs ${windowLength}`,
      { split, path: source, tokens: ids.length, windowLength },
    )
  }
  return { ids, textHash, windows, windowBytes: countWindowBytes(byteEnds, { windowLength, windows }) }
}

/** Token ids as they lie in the artefact store: little-endian int32. */
export function idsToBytes(ids: Int32Array): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(ids.length * 4))
  ids.forEach((id, index) => {
    bytes.setInt32(index * 4, id, true)
  })
  return new Uint8Array(bytes.buffer)
}

export function idsFromBytes(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Int32Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getInt32(index * 4, true))
}
