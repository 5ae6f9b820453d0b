import type { Encoding, Tokenizer } from 'tokenizers'
import { findCuts } from './split-text.js'

/** Pieces that the native library encodes side by side. */
const piecesAtOnce = 8
/** Characters on either side of a cut that show that it changes nothing. */
const contextLength = 256

export interface EncodeOptions {
  /** How many ids are wanted: no more of the text need be encoded. null: the whole text. */
  readonly atLeast: number | null
  readonly withByteEnds: boolean
}

export interface EncodedText {
  readonly ids: Int32Array
  /** UTF-8 bytes of the text up to the end of each token, never falling; null: not asked for. */
  readonly byteEnds: Int32Array | null
}

/** Encodes without special tokens, in pieces where that gives the same ids, else as a whole. */
export async function encodeText(
  tokenizer: Tokenizer,
  text: string,
  cuttable: boolean,
  { atLeast, withByteEnds }: EncodeOptions,
): Promise<EncodedText> {
  const encode = (part: string) => tokenizer.encode(part, null, { addSpecialTokens: false })
  const ids: Int32Array[] = []
  const byteEnds: Int32Array[] = []
  let [count, bytes] = [0, 0]
  const encodeTogether = async (pieces: readonly string[]) => {
    const encodings = await tokenizer.encodeBatch([...pieces], { addSpecialTokens: false })
    for (const [index, encoding] of encodings.entries()) {
      const piece = pieces[index] ?? ''
      const pieceIds = Int32Array.from(encoding.getIds())
      ids.push(pieceIds)
      count += pieceIds.length
      if (!withByteEnds) continue
      byteEnds.push(findByteEnds(piece, encoding.getOffsets(), bytes))
      bytes += Buffer.byteLength(piece)
    }
  }
  let waiting: string[] = []
  let together = 1
  for await (const piece of cuttable ? cutText(text, encode) : [text]) {
    waiting.push(piece)
    if (waiting.length < together) continue
    await encodeTogether(waiting)
    if (atLeast !== null && count >= atLeast) break
    waiting = []
    together = Math.min(piecesAtOnce, 2 * together)
  }
  if (atLeast === null || count < atLeast) await encodeTogether(waiting)
  return { ids: concatenate(ids), byteEnds: withByteEnds ? concatenate(byteEnds) : null }
}

/** Cuts where the text around gives the same ids with the cut as without; anywhere else the text stays whole. */
async function* cutText(text: string, encode: (part: string) => Promise<Encoding>): AsyncGenerator<string> {
  let start = 0
  for (const cut of findCuts(text)) {
    const [before, after] = [sliceWhole(text, cut - contextLength, cut), sliceWhole(text, cut, cut + contextLength)]
    const [whole, left, right] = await Promise.all([encode(before + after), encode(before), encode(after)])
    const parts = [...left.getIds(), ...right.getIds()]
    const joined = whole.getIds()
    if (joined.length !== parts.length || joined.some((id, index) => id !== parts[index])) continue
    yield text.slice(start, cut)
    start = cut
  }
  yield text.slice(start)
}

/** A slice that does not begin or end within a pair of surrogates. */
function sliceWhole(text: string, from: number, to: number): string {
  const isSecond = (at: number) => at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00
  const first = Math.max(0, from)
  return text.slice(isSecond(first) ? first + 1 : first, isSecond(to) ? to + 1 : to)
}

/**
 * @param offsets of every token, in characters (code points)
 * @param start bytes before the text
 */
export function findByteEnds(text: string, offsets: readonly (readonly number[])[], start = 0): Int32Array {
  let [unit, character, bytes] = [0, 0, start]
  return Int32Array.from(offsets, ([, end = 0]) => {
    for (; character < end && unit < text.length; character++) {
      const code = text.codePointAt(unit) ?? 0
      unit += code > 0xffff ? 2 : 1
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    }
    return bytes
  })
}

function concatenate(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
