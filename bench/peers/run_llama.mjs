// Measures windows with node-llama-cpp, for bench/evaluation-peers.mjs.
//
//   node run_llama.mjs FOLDER_WITH_NODE_MODULES MODEL.gguf THREADS
//
// Standard input, a JSON object a line: { ids, windowLength, logits }. Standard output, one a line: { seconds, cpuSeconds, nll },
// with the negative log-likelihood of each window, or null without logits: the prompt is then only processed, and
// llama.cpp computes logits of the last position alone.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [folder, modelPath, threads] = process.argv.slice(2)
const entry = createRequire(join(folder, 'package.json')).resolve('node-llama-cpp')
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href)
const llama = await getLlama({
  gpu: false,
  build: 'never',
  logLevel: LlamaLogLevel.error,
  maxThreads: Number(threads),
})
const model = await llama.loadModel({ modelPath })
let sequence
console.log(JSON.stringify({ ready: true }))

for await (const line of createInterface({ input: process.stdin })) {
  const { ids, windowLength, logits } = JSON.parse(line)
  sequence ??= (
    await model.createContext({
      contextSize: windowLength,
      batchSize: windowLength,
      threads: Number(threads),
      sequences: 1,
    })
  ).getSequence()
  const started = performance.now()
  const startedCpu = process.cpuUsage()
  const nll = []
  for (let first = 0; first < ids.length; first += windowLength) {
    await sequence.clearHistory()
    const window = ids.slice(first, first + windowLength)
    if (logits) nll.push(await measureWindow(window))
    else await sequence.evaluateWithoutGeneratingNewTokens(window)
  }
  const { user, system } = process.cpuUsage(startedCpu)
  const seconds = (performance.now() - started) / 1000
  console.log(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, nll: logits ? nll : null }))
}
await llama.dispose()

/** log sum exp(logit) - logit of the next token, summed over the window; one logit a position leaves llama.cpp. */
async function measureWindow(window) {
  const input = window.map((token, position) =>
    position + 1 === window.length
      ? token
      : [
          token,
          {
            generateNext: {
              logits: { filter: { tokens: [window[position + 1]], includeTop: 1 } },
              totalLogitWeight: true,
            },
          },
        ],
  )
  const outputs = await sequence.controlledEvaluate(input)
  let sum = 0
  for (let position = 0; position + 1 < window.length; position++) {
    const { logits, totalLogitWeight } = outputs[position].next
    sum += Math.max(...logits.values()) + Math.log(totalLogitWeight) - logits.get(window[position + 1])
  }
  return sum
}
