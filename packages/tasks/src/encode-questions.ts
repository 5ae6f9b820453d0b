import { EspalierError } from '@espalier/contracts'
import { stripEnd } from './python-strings.js'
import { type Choice, invalidDocument, type Question } from './task.js'

/** A choice as the model reads it. */
export interface EncodedChoice {
  /** Context and continuation; cut from the left to one token more than the model has positions. */
  readonly ids: Int32Array
  /** Tokens at the end that are the continuation. */
  readonly continuationTokens: number
}

export interface EncodeOptions {
  /** Token ids of each text, special tokens included that the tokenizer adds to one. */
  readonly encode: (texts: readonly string[]) => Promise<readonly Int32Array[]>
  /** Tokens that the model can read at once. */
  readonly maxPositions: number
  readonly task: string
}

/**
 * The tokens of every choice of every question, as lm-evaluation-harness cuts them: white space at the end of the context
 * goes to the continuation; both are encoded as one text, and the continuation is what comes after as many tokens as
 * the context alone has. The last token is only predicted, so one more than the model has positions may stay.
 * Source: `TemplateLM._encode_pair` in lm_eval/api/model.py, `HFLM._loglikelihood_tokens` in lm_eval/models/huggingface.py.
 *
 * @throws EspalierError TASK_DOCUMENT_INVALID for a continuation of no token; MODEL_WINDOW_TOO_LONG for one that is longer
 *   than the model's positions
 */
export async function encodeQuestions(
  questions: readonly Question[],
  { encode, maxPositions, task }: EncodeOptions,
): Promise<EncodedChoice[][]> {
  const texts = new Map<string, number>()
  const indexOf = (text: string) => {
    const known = texts.get(text) ?? texts.size
    texts.set(text, known)
    return known
  }
  const pairs = questions.map(({ choices }) =>
    choices.map((choice) => [indexOf(stripEnd(choice.context)), indexOf(wholeOf(choice))] as const),
  )
  const encoded = await encode([...texts.keys()])
  return pairs.map((choices, question) =>
    choices.map(([contextIndex, wholeIndex], index) => {
      const whole = encoded[wholeIndex] ?? new Int32Array()
      const contextTokens = encoded[contextIndex]?.length ?? 0
      const place = `document ${question + 1}, choice ${index + 1}`
      const continuationTokens = whole.length - contextTokens
      if (contextTokens === 0 || continuationTokens <= 0) {
        throw invalidDocument(task, place, 'the tokenizer leaves no token of its prompt or of its continuation')
      }
      if (continuationTokens > maxPositions) throw tooLong(place, continuationTokens, maxPositions)
      return { ids: whole.slice(-(maxPositions + 1)), continuationTokens }
    }),
  )
}

function wholeOf({ context, continuation }: Choice): string {
  return context + continuation
}

function tooLong(place: string, tokens: number, allowed: number): EspalierError {
  return new EspalierError(
    'MODEL_WINDOW_TOO_LONG',
    `${place}: a continuation of ${tokens} tokens; max_position_embeddings allows ${allowed} at most`,
    { tokens, allowed },
  )
}
