import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { findModelFile } from './find-model-file.js'
import { TokenizerClient } from './tokenizer-client.js'

/** Turns text into token ids exactly as the Hugging Face library does. */
export interface TextTokenizer {
  /**
   * Token ids of the whole text, without special tokens. Runs in a process of its own.
   *
   * @throws EspalierError MODEL_TOKENIZER_INVALID when the tokenizer fails at this text
   */
  encode(text: string): Promise<Int32Array>
  /**
   * Token ids of each text, with the special tokens that tokenizer.json adds to one, as `tokenizer(text)` of transformers
   * does by default.
   *
   * @throws EspalierError MODEL_TOKENIZER_INVALID when the tokenizer fails at one of them
   */
  encodeEach(texts: readonly string[]): Promise<Int32Array[]>
  /**
   * Token ids as `encode` gives them, and where the tokens end.
   *
   * @param atLeast ids that are wanted: what follows may be left out; null: the whole text
   * @throws EspalierError as `encode`
   */
  encodeWithEnds(text: string, atLeast: number | null): Promise<TokensWithEnds>
  /** Added tokens included. May differ from the vocabulary of the model's embedding. */
  readonly vocabularySize: number
}

export interface TokensWithEnds {
  readonly ids: Int32Array
  /**
   * UTF-8 bytes of the text up to the end of each token. They never fall. A character that several tokens share
   * belongs to the first of them; characters that no token stands for, to the token after them.
   */
  readonly byteEnds: Int32Array
}

const tokenizerFileName = 'tokenizer.json'

/**
 * Loads `tokenizer.json` of a model folder.
 *
 * @throws EspalierError MODEL_TOKENIZER_MISSING, MODEL_TOKENIZER_INVALID, MODEL_UNREADABLE
 */
export async function loadTokenizer(directory: string): Promise<TextTokenizer> {
  const file = await findModelFile(directory, tokenizerFileName)
  if (file === null) {
    throw new EspalierError('MODEL_TOKENIZER_MISSING', `${directory}: expected ${tokenizerFileName}, found none`, {
      file: join(directory, tokenizerFileName),
      expected: tokenizerFileName,
      found: null,
    })
  }
  const client = new TokenizerClient(file)
  return {
    vocabularySize: await client.load(),
    encode: async (text) => (await client.encode(text, { atLeast: null, withByteEnds: false })).ids,
    encodeEach: (texts) => client.encodeEach(texts),
    async encodeWithEnds(text, atLeast) {
      const { ids, byteEnds } = await client.encode(text, { atLeast, withByteEnds: true })
      return { ids, byteEnds: byteEnds ?? new Int32Array() }
    },
  }
}
