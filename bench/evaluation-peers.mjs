/**
 * How fast the dense model is measured, beside node-llama-cpp and Hugging Face transformers on torch: the same windows
 * of the same text on the same threads, in turns within one run; of each the fastest round counts. Beside the time on
 * the clock stands the processor time, which other work on the machine changes less: with one thread the two are one.
 *
 *   npm run bench -- evaluation-peers --model DIR [--node-llama-cpp DIR --gguf FILE] [--transformers PYTHON]
 *     [--text FILE] [--window 512] [--windows 4] [--threads N] [--rounds 5]
 *     [--weights stored|fp32] [--json]
 *
 * --node-llama-cpp: a folder with node_modules/node-llama-cpp: NODE_LLAMA_CPP_SKIP_DOWNLOAD=true npm install
 *   node-llama-cpp@3.22.1 in an empty folder takes its prebuilt binaries. --gguf: the same weights in float32, written
 *   by bench/peers/write_gguf.py.
 * --transformers: a Python with torch and transformers.
 * A comparison counts only if the log-perplexities agree to 1e-4 (llama.cpp, which keeps keys and values in float16:
 * 1e-3); otherwise this ends with an error.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { countCpus, createEvaluator } from '@espalier/evaluator'
import { loadTokenizer } from '@espalier/model-graph'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    'node-llama-cpp': { type: 'string' },
    gguf: { type: 'string' },
    transformers: { type: 'string' },
    text: { type: 'string', default: fileURLToPath(new URL('../models/demo/texts/test.txt', import.meta.url)) },
    window: { type: 'string', default: '512' },
    windows: { type: 'string', default: '4' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    weights: { type: 'string', default: 'stored' },
    json: { type: 'boolean', default: false },
  },
})
if (options.model === undefined) {
  console.error('Which model? --model DIR')
  process.exit(2)
}
if ((options['node-llama-cpp'] === undefined) !== (options.gguf === undefined)) {
  console.error('--node-llama-cpp DIR needs --gguf FILE, and the other way round')
  process.exit(2)
}
const windowLength = Number(options.window)
const windows = Number(options.windows)
const tokens = windowLength * windows
const threads = options.threads === undefined ? countCpus() : Number(options.threads)

const ids = await readTokens()
const contenders = [await createOurs(), ...createLlama(), ...createTransformers()]
await measureRounds(Number(options.rounds))
report()

async function readTokens() {
  const tokenizer = await loadTokenizer(options.model)
  const all = await tokenizer.encode(readFileSync(options.text, 'utf8'))
  if (all.length >= tokens) return all.slice(0, tokens)
  throw new Error(`${options.text} has ${all.length} tokens; ${windows} windows of ${windowLength} need ${tokens}`)
}

async function createOurs() {
  const evaluator = await createEvaluator({ modelDirectory: options.model, threads, weights: options.weights })
  const measure = async () => {
    const started = process.cpuUsage()
    const measured = await evaluator.measure({ ids, windowLength, windows, keptIndices: null, calibration: null })
    const { user, system } = process.cpuUsage(started)
    return { ...measured, cpuSeconds: (user + system) / 1e6 }
  }
  return { name: 'Espalier', measure, close: () => evaluator.close() }
}

/** With the logits of every position read, as a perplexity needs, and the mere processing of the prompt. */
function createLlama() {
  const folder = options['node-llama-cpp']
  if (folder === undefined) return []
  const file = fileURLToPath(new URL('peers/run_llama.mjs', import.meta.url))
  const peer = startPeer(process.execPath, [file, folder, options.gguf, String(threads)])
  const measure = (logits) => peer.ask({ ids: [...ids], windowLength, logits })
  return [
    { name: 'node-llama-cpp', measure: () => measure(true), close: peer.close, tolerance: 1e-3 },
    { name: 'node-llama-cpp, prompt only', measure: () => measure(false), close: async () => undefined },
  ]
}

function createTransformers() {
  const python = options.transformers
  if (python === undefined) return []
  const file = fileURLToPath(new URL('peers/run_transformers.py', import.meta.url))
  const peer = startPeer(python, [file, options.model, String(threads)], { OMP_NUM_THREADS: String(threads) })
  const measure = () => peer.ask({ ids: [...ids], windowLength })
  return [{ name: 'transformers', measure, close: peer.close, tolerance: 1e-4 }]
}

/** A process that answers a JSON object a line, and says { ready } first. */
function startPeer(command, args, variables = {}) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...variables } })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const failed = new Promise((_, reject) => child.once('error', reject))
  failed.catch(() => undefined)
  const read = async () => {
    const { value, done } = await Promise.race([lines.next(), failed])
    if (done) throw new Error(`${command} ${args[0]} ended without an answer`)
    return JSON.parse(value)
  }
  const ready = read()
  ready.catch(() => undefined)
  return {
    async ask(request) {
      await ready
      child.stdin.write(`${JSON.stringify(request)}\n`)
      return read()
    },
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.stdin.end()
      await ended
    },
  }
}

/** The first round warms up and gives the perplexity. */
async function measureRounds(rounds) {
  for (let round = 0; round <= rounds; round++) {
    for (const contender of contenders) {
      const { seconds, cpuSeconds, nll } = await contender.measure()
      if (round === 0) contender.logPerplexity = nll && sum(nll) / (windows * (windowLength - 1))
      else {
        contender.seconds = Math.min(contender.seconds ?? Number.POSITIVE_INFINITY, seconds)
        contender.cpuSeconds = Math.min(contender.cpuSeconds ?? Number.POSITIVE_INFINITY, cpuSeconds)
      }
    }
  }
  for (const { close } of contenders) await close()
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0)
}

function report() {
  const [ours] = contenders
  const rows = contenders.map(({ name, seconds, cpuSeconds, logPerplexity, tolerance = null }) => ({
    name,
    tokensPerSecond: tokens / seconds,
    timesFaster: seconds / ours.seconds,
    tokensPerCpuSecond: tokens / cpuSeconds,
    timesFasterInCpuTime: cpuSeconds / ours.cpuSeconds,
    logPerplexity,
    tolerance,
  }))
  if (options.json) console.log(JSON.stringify({ windowLength, windows, threads, rows }))
  else {
    console.log(`${windows} windows of ${windowLength} tokens, ${threads} threads, fastest of ${options.rounds} rounds`)
    const number = (value, digits) => value.toFixed(digits).padStart(7)
    console.table(
      rows.map((row) => ({
        name: row.name,
        'tokens/s': number(row.tokensPerSecond, 0),
        'Espalier is faster by': number(row.timesFaster, 2),
        'tokens/CPU s': number(row.tokensPerCpuSecond, 0),
        'in CPU time by': number(row.timesFasterInCpuTime, 2),
        perplexity: row.logPerplexity === null ? '' : number(Math.exp(row.logPerplexity), 4),
      })),
    )
  }
  for (const { name, logPerplexity, tolerance } of rows) {
    if (logPerplexity === null || tolerance === null || Math.abs(logPerplexity - ours.logPerplexity) <= tolerance)
      continue
    console.error(
      `${name}: log-perplexity ${logPerplexity}, ours ${ours.logPerplexity}: not the same work, no comparison`,
    )
    process.exitCode = 1
  }
}
