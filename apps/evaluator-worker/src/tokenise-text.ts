import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { EspalierError, type Split } from '@espalier/contracts'
import { decodeText, type TextTokenizer } from '@espalier/model-graph'

export interface TokenisedText {
  readonly ids: Int32Array
  /** SHA-256 of the file. */
  readonly textHash: string
  /** Whole windows; the rest is dropped. */
  readonly windows: number
}

/**
 * Tokenises a whole text without special tokens and counts its non-overlapping windows.
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID, TEXT_TOO_SHORT
 */
export async function tokeniseText(
  tokenizer: TextTokenizer,
  split: Split,
  path: string,
  windowLength: number,
): Promise<TokenisedText> {
  const bytes = await readFile(path).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new EspalierError('TEXT_NOT_FOUND', `The ${split} text ${path} cannot be read: ${reason}`, { split, path })
  })
  const ids = await tokenizer.encode(decodeText(bytes, path))
  const windows = Math.floor(ids.length / windowLength)
  if (windows < 1) {
    throw new EspalierError(
      'TEXT_TOO_SHORT',
      `The ${split} text ${path} has ${ids.length} tokens; one window needs ${windowLength}`,
      { split, path, tokens: ids.length, windowLength },
    )
  }
  return { ids, textHash: createHash('sha256').update(bytes).digest('hex'), windows }
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
