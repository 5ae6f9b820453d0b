import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { Tokenizer } from 'tokenizers'

/** Turns text into token ids exactly as the Hugging Face library does. */
export interface TextTokenizer {
  /** Token ids of the whole text, without special tokens. Runs on a thread of the native library. */
  encode(text: string): Promise<Int32Array>
  /** Added tokens included. May differ from the vocabulary of the model's embedding. */
  readonly vocabularySize: number
}

const tokenizerFileName = 'tokenizer.json'

/**
 * Loads `tokenizer.json` of a model folder.
 *
 * @throws EspalierError MODEL_TOKENIZER_MISSING, MODEL_TOKENIZER_INVALID
 */
export async function loadTokenizer(directory: string): Promise<TextTokenizer> {
  const file = join(directory, tokenizerFileName)
  const found = await stat(file).catch(() => null)
  if (!found?.isFile()) {
    throw new EspalierError('MODEL_TOKENIZER_MISSING', `${directory}: expected ${tokenizerFileName}, found none`, {
      file,
      expected: tokenizerFileName,
      found: null,
    })
  }
  const tokenizer = parseTokenizer(file)
  return {
    vocabularySize: tokenizer.getVocabSize(true),
    async encode(text) {
      const encoding = await tokenizer.encode(text, null, { addSpecialTokens: false })
      return Int32Array.from(encoding.getIds())
    },
  }
}

function parseTokenizer(file: string): Tokenizer {
  try {
    const tokenizer = Tokenizer.fromFile(file)
    // A tokenizer.json may cut or fill every text to one length; a perplexity needs all tokens and no others.
    tokenizer.disableTruncation()
    tokenizer.disablePadding()
    return tokenizer
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    throw new EspalierError(
      'MODEL_TOKENIZER_INVALID',
      `${file}: expected a tokenizer of Hugging Face, found: ${found}`,
      {
        file,
        expected: 'a tokenizer of Hugging Face',
        found,
      },
    )
  }
}
