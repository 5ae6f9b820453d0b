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

/** The text cut before every such blank: a word with what stands before the next one. */
export function splitWords(text: string): string[] {
  return text.split(wordStart)
}

/** `tokenizer.json` in as far as it decides whether a text may be cut. */
interface TokenizerDescription {
  readonly added_tokens?: unknown
  readonly normalizer?: Part | null
  readonly pre_tokenizer?: Part | null
  readonly model?: { readonly type?: unknown; readonly dropout?: unknown }
}

interface Part {
  readonly type?: unknown
  readonly add_prefix_space?: unknown
  readonly use_regex?: unknown
  readonly pretokenizers?: unknown
  readonly pattern?: unknown
  readonly behavior?: unknown
  readonly invert?: unknown
}

interface AddedToken {
  readonly content?: unknown
  readonly single_word?: unknown
  readonly lstrip?: unknown
  readonly rstrip?: unknown
}

/**
 * Expressions of which no match goes over a blank between two letters: in each of them white space is only matched by
 * itself or first, before what is none. Of GPT-2 (ByteLevel's own), Qwen2 and Llama 3.
 */
const wordExpressions: readonly unknown[] = [
  String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
]

/** Where a text may be cut: nowhere; where the text around shows that it changes nothing; before every word. */
export type Cutting = 'nowhere' | 'checked' | 'words'

export function chooseCutting(json: unknown): Cutting {
  if (!isCuttable(json)) return 'nowhere'
  const { pre_tokenizer, added_tokens } = json as TokenizerDescription
  const parts = partsOf(pre_tokenizer)
  const splitsAtWords = parts.every(staysWithinWords) && seesBlanks(parts)
  const added = Array.isArray(added_tokens) ? added_tokens : []
  return splitsAtWords && !added.some(mayCrossWords) ? 'words' : 'checked'
}

/** ByteLevel puts letters in the place of blanks: an expression after it finds none, unless it has split itself. */
function seesBlanks(parts: readonly Part[]): boolean {
  const first = parts.find(({ type }) => type !== 'Digits')
  return first?.type === 'Split' || first?.use_regex !== false
}

function staysWithinWords({ type, pattern, behavior, invert }: Part): boolean {
  if (type !== 'Split') return true
  const expression = (pattern as { readonly Regex?: unknown } | null | undefined)?.Regex
  return wordExpressions.includes(expression) && behavior === 'Isolated' && invert !== true
}

/** Added tokens are found in the text before it is split. */
function mayCrossWords({ content, single_word, lstrip, rstrip }: AddedToken): boolean {
  return Boolean(single_word || lstrip || rstrip) || typeof content !== 'string' || /\p{L} /u.test(content)
}

/**
 * Whether merges never cross words and words are found by looking a few characters around: byte pair encoding behind
 * splitting by expressions. SentencePiece's models merge over the whole text and mark its start, so they see it whole.
 */
function isCuttable(json: unknown): boolean {
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
