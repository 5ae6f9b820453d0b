/**
 * Entry of the process that tokenises. The native library of Hugging Face ends its process when it panics, which a
 * hostile tokenizer.json can make it do at any text (a division by zero, a regular expression out of steps), or
 * fills the memory (a chain of replacements); here that costs a message, not a worker.
 */
import { Tokenizer } from 'tokenizers'
import { encodeText } from './encode-text.js'
import { readModelText } from './read-text.js'
import { type Cutting, chooseCutting } from './split-text.js'
import type { TokenizerQuestion, TokenizerReply } from './tokenizer-client.js'

/** Gemma's has 33 MB. */
const maxTokenizerBytes = 128 * 2 ** 20
/** A process that nobody asks anything goes; the next question starts another. */
const idleMs = 5000
const watchMs = 50
/** Measured: about 180 bytes of memory a byte of text. */
const maxMemoryBytes = (characters: number) => 2 ** 30 + 600 * characters

const [file = ''] = process.argv.slice(2)
const idle = setTimeout(() => process.exit(0), idleMs)
const reply = (message: TokenizerReply) => {
  process.send?.(message)
  idle.refresh()
}
process.on('disconnect', () => process.exit(0))
// Whoever stops the parent sends these to the whole group; this process ends with the parent, not before it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

const tokenizer = await load().catch((error: unknown) => {
  reply({ kind: 'refused', found: error instanceof Error ? error.message : String(error) })
  return null
})
if (tokenizer !== null) {
  process.on('message', (question: TokenizerQuestion) => void encode(tokenizer, question))
  reply({ kind: 'loaded', vocabularySize: tokenizer.library.getVocabSize(true) })
}

interface LoadedTokenizer {
  readonly library: Tokenizer
  readonly cutting: Cutting
}

async function load(): Promise<LoadedTokenizer> {
  const json = await readModelText(file, maxTokenizerBytes, 'MODEL_TOKENIZER_INVALID')
  const library = Tokenizer.fromString(json)
  // A tokenizer.json may cut or fill every text to one length; a perplexity needs all tokens and no others.
  library.disableTruncation()
  library.disablePadding()
  return { library, cutting: chooseCutting(JSON.parse(json)) }
}

async function encode({ library, cutting }: LoadedTokenizer, question: TokenizerQuestion): Promise<void> {
  clearTimeout(idle)
  const texts = question.kind === 'encode' ? [question.text] : question.texts
  const characters = texts.reduce((sum, text) => sum + text.length, 0)
  const watch = setInterval(() => refuseMemory(characters), watchMs)
  try {
    if (question.kind === 'encode') {
      reply({ kind: 'encoded', ...(await encodeText(library, question.text, cutting, question)) })
    } else {
      const encodings = await library.encodeBatch([...question.texts], { addSpecialTokens: true })
      reply({ kind: 'encodedEach', ids: encodings.map((encoding) => Int32Array.from(encoding.getIds())) })
    }
  } catch (error) {
    reply({ kind: 'refused', found: error instanceof Error ? error.message : String(error) })
  } finally {
    clearInterval(watch)
  }
}

function refuseMemory(characters: number): void {
  const [limit, used] = [maxMemoryBytes(characters), process.memoryUsage.rss()]
  if (used <= limit) return
  const found = `one that takes more than ${limit} bytes of memory for ${characters} characters`
  process.send?.({ kind: 'refused', found } satisfies TokenizerReply, undefined, {}, () => process.exit(0))
}
