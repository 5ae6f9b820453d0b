import type { Tokenizer } from 'tokenizers'
import { createPartEncoder, createWordEncoder, type EncodedPart, joinParts } from './encode-parts.js'
import { type Cutting, findCuts } from './split-text.js'

/** Pieces that are encoded together. */
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

/** Encodes without special tokens, in parts where that gives the same ids, else as a whole. */
export async function encodeText(
  tokenizer: Tokenizer,
  text: string,
  cutting: Cutting,
  { atLeast, withByteEnds }: EncodeOptions,
): Promise<EncodedText> {
  const encodeWhole = createPartEncoder(tokenizer, withByteEnds)
  const encodeParts = cutting === 'words' ? createWordEncoder(encodeWhole) : encodeWhole
  const encoded: EncodedPart[] = []
  let count = 0
  const encodeTogether = async (pieces: readonly string[]) => {
    for (const part of await encodeParts(pieces)) {
      encoded.push(part)
      count += part.ids.length
    }
  }
  let waiting: string[] = []
  let together = 1
  for await (const piece of cutText(tokenizer, text, cutting)) {
    waiting.push(piece)
    if (waiting.length < together) continue
    await encodeTogether(waiting)
    if (atLeast !== null && count >= atLeast) break
    waiting = []
    together = Math.min(piecesAtOnce, 2 * together)
  }
  if (atLeast === null || count < atLeast) await encodeTogether(waiting)
  const { ids, byteEnds } = joinParts(encoded)
  return { ids, byteEnds }
}

async function* cutText(tokenizer: Tokenizer, text: string, cutting: Cutting): AsyncGenerator<string> {
  let start = 0
  for (const cut of cutting === 'nowhere' ? [] : findCuts(text)) {
    if (cutting === 'checked' && !(await changesNothing(tokenizer, text, cut))) continue
    yield text.slice(start, cut)
    start = cut
  }
  yield text.slice(start)
}

/** Whether the text around gives the same ids with the cut as without. */
async function changesNothing(tokenizer: Tokenizer, text: string, cut: number): Promise<boolean> {
  const encode = (part: string) => tokenizer.encode(part, null, { addSpecialTokens: false })
  const [before, after] = [sliceWhole(text, cut - contextLength, cut), sliceWhole(text, cut, cut + contextLength)]
  const [whole, left, right] = await Promise.all([encode(before + after), encode(before), encode(after)])
  const parts = [...left.getIds(), ...right.getIds()]
  const joined = whole.getIds()
  return joined.length === parts.length && joined.every((id, index) => id === parts[index])
}

/** A slice that does not begin or end within a pair of surrogates. */
function sliceWhole(text: string, from: number, to: number): string {
  const isSecond = (at: number) => at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00
  const first = Math.max(0, from)
  return text.slice(isSecond(first) ? first + 1 : first, isSecond(to) ? to + 1 : to)
}
