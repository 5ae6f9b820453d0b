import type { Tokenizer } from 'tokenizers'
import { splitWords } from './split-text.js'

/** A part of a text, encoded by itself without special tokens. */
export interface EncodedPart {
  readonly ids: ArrayLike<number>
  /** UTF-8 bytes of the part up to the end of each token, never falling; null: not asked for. */
  readonly byteEnds: ArrayLike<number> | null
  /** UTF-8 bytes of the part; 0 where no ends were asked for. */
  readonly bytes: number
}

/** Encodes every part by itself. */
export type EncodeParts = (parts: readonly string[]) => Promise<EncodedPart[]>

/** By the library. */
export function createPartEncoder(tokenizer: Tokenizer, withByteEnds: boolean): EncodeParts {
  return async (parts) => {
    const encodings = await tokenizer.encodeBatch([...parts], { addSpecialTokens: false })
    return encodings.map((encoding, index) => {
      const part = parts[index] ?? ''
      const ids = encoding.getIds()
      if (!withByteEnds) return { ids, byteEnds: null, bytes: 0 }
      return { ids, byteEnds: findByteEnds(part, encoding.getOffsets()), bytes: Buffer.byteLength(part) }
    })
  }
}

/** Longer words do not come back. */
const longestKept = 64
/** Some 50 MB. */
const mostKept = 2 ** 17

/** By `encodeParts` where a word was not seen before: most words of a text are few. */
export function createWordEncoder(encodeParts: EncodeParts): EncodeParts {
  const kept = new Map<string, EncodedPart>()
  const encodeWords = async (words: readonly string[]): Promise<Map<string, EncodedPart>> => {
    const encoded = new Map<string, EncodedPart>()
    const missing = new Set<string>()
    for (const word of words) {
      const known = kept.get(word)
      if (known === undefined) missing.add(word)
      else encoded.set(word, known)
    }
    const parts = missing.size === 0 ? [] : await encodeParts([...missing])
    for (const [index, word] of [...missing].entries()) {
      const part = parts[index]
      if (part === undefined) continue
      encoded.set(word, part)
      if (word.length <= longestKept && kept.size < mostKept) kept.set(word, part)
    }
    return encoded
  }
  return async (parts) => {
    const words = parts.map(splitWords)
    const encoded = await encodeWords(words.flat())
    return words.map((ofPart) => joinParts(ofPart.map((word) => encoded.get(word) ?? nothing)))
  }
}

const nothing: EncodedPart = { ids: [], byteEnds: null, bytes: 0 }

interface JoinedParts extends EncodedPart {
  readonly ids: Int32Array
  readonly byteEnds: Int32Array | null
}

/** Parts that follow each other as one. */
export function joinParts(parts: readonly EncodedPart[]): JoinedParts {
  const tokens = parts.reduce((sum, { ids }) => sum + ids.length, 0)
  const ids = new Int32Array(tokens)
  const hasEnds = parts.some(({ byteEnds }) => byteEnds !== null)
  const byteEnds = hasEnds ? new Int32Array(tokens) : null
  let [at, bytes] = [0, 0]
  for (const part of parts) {
    ids.set(part.ids, at)
    for (let token = 0; byteEnds !== null && token < part.ids.length; token++) {
      byteEnds[at + token] = bytes + (part.byteEnds?.[token] ?? 0)
    }
    at += part.ids.length
    bytes += part.bytes
  }
  return { ids, byteEnds, bytes }
}

/**
 * UTF-8 bytes of the text up to the end of each token.
 * @param offsets of every token, in characters (code points)
 */
export function findByteEnds(text: string, offsets: readonly (readonly number[])[]): Int32Array {
  let [unit, character, bytes] = [0, 0, 0]
  return Int32Array.from(offsets, ([, end = 0]) => {
    for (; character < end && unit < text.length; character++) {
      const code = text.codePointAt(unit) ?? 0
      unit += code > 0xffff ? 2 : 1
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    }
    return bytes
  })
}
