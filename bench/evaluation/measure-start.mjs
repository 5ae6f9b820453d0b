/** How long a model takes until its first perplexity, and its tokenizer for a long text. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { loadTokenizer } from '@espalier/model-graph'

const path = (relative) => fileURLToPath(new URL(`../../${relative}`, import.meta.url))
const textFile = path('models/demo/texts/test.txt')

/** The tokenizer of a model on 10 MB of text, once it is loaded. */
export async function measureTokenising(model) {
  const tokenizer = await loadTokenizer(model)
  const part = readFileSync(textFile, 'utf8')
  const text = part.repeat(Math.ceil(10e6 / part.length))
  const started = performance.now()
  const { length } = await tokenizer.encode(text)
  const seconds = (performance.now() - started) / 1000
  return { bytesPerSecond: Buffer.byteLength(text) / seconds, tokensPerSecond: length / seconds }
}

/** Seconds from starting the command to its end: so many windows of a text. */
export async function measureStart(model, windowLength, windows) {
  const args = [
    'ppl',
    model,
    '--text',
    textFile,
    '--window',
    String(windowLength),
    '--windows',
    String(windows),
    '--json',
  ]
  const started = performance.now()
  await promisify(execFile)(process.execPath, [path('apps/cli/bin/espalier.js'), ...args], { maxBuffer: 2 ** 24 })
  return (performance.now() - started) / 1000
}
