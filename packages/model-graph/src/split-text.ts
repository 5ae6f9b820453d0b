/** Characters of a piece at least: long enough that its start costs nothing, short enough to stay in caches. */
const pieceLength = 2 ** 16

/** Between a letter and the blank before the next word. */
const wordStart = /(?<=\p{L})(?= \p{L})/gu

/** Where a text may be cut into pieces that are tokenised by themselves; all positions but 0 and the end, in order. */
export function findCuts(text: string, minLength: number = pieceLength): number[] {
  const cuts: number[] = []
  for (let from = minLength; from < text.length; ) {
    wordStart.lastIndex = from
    const cut = wordStart.exec(text)?.index
    if (cut === undefined) break
    cuts.push(cut)
    from = cut + minLength
  }
  return cuts
}

/** `tokenizer.json` in as far as it decides whether a text may be cut. */
interface TokenizerDescription {
  readonly normalizer?: Part | null
  readonly pre_tokenizer?: Part | null
  readonly model?: { readonly type?: unknown; readonly dropout?: unknown }
}

interface Part {
  readonly type?: unknown
  readonly add_prefix_space?: unknown
  readonly use_regex?: unknown
  readonly pretokenizers?: unknown
}

/**
 * Whether merges never cross words and words are found by looking a few characters around: byte pair encoding behind
 * splitting by expressions. SentencePiece's models merge over the whole text and mark its start, so they see it whole.
 */
export function isCuttable(json: unknown): boolean {
  const { normalizer, pre_tokenizer, model } = (json ?? {}) as TokenizerDescription
  const isBytePairEncoding = (model?.type ?? 'BPE') === 'BPE' && !model?.dropout
  const keepsPlaces = normalizer === null || normalizer === undefined || normalizer.type === 'NFC'
  const parts = partsOf(pre_tokenizer)
  const splits = parts.some(({ type, use_regex }) => type === 'Split' || (type === 'ByteLevel' && use_regex !== false))
  return isBytePairEncoding && keepsPlaces && splits && parts.every(isLocal)
}

function partsOf(part: Part | null | undefined): readonly Part[] {
  if (part === null || part === undefined) return []
  return part.type === 'Sequence' && Array.isArray(part.pretokenizers) ? part.pretokenizers.flatMap(partsOf) : [part]
}

function isLocal({ type, add_prefix_space }: Part): boolean {
  return type === 'Split' || type === 'Digits' || (type === 'ByteLevel' && add_prefix_space === false)
}
