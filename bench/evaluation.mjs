/**
 * How fast policies are measured, against the machine's own fp32 matrix product in the same run.
 *
 *   npm run bench -- evaluation --model DIR [--weights stored|fp32] [--window 512] [--threads N] [--rounds 7]
 *     [--prefix-windows 1] [--json]
 *
 * Peak: ONNX Runtime's MatMul with constant weights, same threads, on the shapes of the model's own products and on
 * a square of 2048; the fastest shape counts. Products, the dense model and a policy that keeps 50 % of all units are
 * timed in turns, and of each the fastest round counts: what else the machine does only adds time.
 * FLOPs counted: those that a policy needs (products of the kept units, attention over earlier positions only,
 * logits of the predicted positions); not norms, softmax, rotation nor conversion of stored weights.
 * Memory: peak of a process that does nothing but open the model and measure both policies, for weights as stored and
 * as fp32. Tokenising: the model's tokenizer on 10 MB of the bundled text over and over. Start: from starting `espalier
 * ppl` to its end, one window of that text and four.
 *
 * Last, policies that share their first modules: see evaluation/prefix-reuse.mjs. --prefix-windows 0 leaves it out.
 */
import { parseArgs } from 'node:util'
import { countEvaluationFlops } from '@espalier/cost-model'
import { countCpus, createEvaluator } from '@espalier/evaluator'
import { openModel } from '@espalier/model-graph'
import { OnnxGraph } from '@espalier/tensor-files'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { measureMemory } from './evaluation/measure-memory.mjs'
import { measureStart, measureTokenising } from './evaluation/measure-start.mjs'
import { measurePrefixReuse } from './evaluation/prefix-reuse.mjs'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    weights: { type: 'string', default: 'stored' },
    window: { type: 'string', default: '512' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '7' },
    'prefix-windows': { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
if (options.model === undefined) {
  console.error('Which model? --model DIR')
  process.exit(2)
}
const windowLength = Number(options.window)
const threads = options.threads === undefined ? countCpus() : Number(options.threads)
const rounds = Number(options.rounds)
/** Tokens of one timed call, the evaluator's own batch. */
const windows = Math.max(1, Math.round(2048 / windowLength))
const tokens = windows * windowLength

const { shape } = await openModel(options.model)
const evaluator = await createEvaluator({ modelDirectory: options.model, threads, weights: options.weights })
const contenders = [...(await createProducts()), ...createPolicies()]
for (const { run } of contenders) await run()
for (let round = 0; round < rounds; round++) {
  for (const contender of contenders) {
    const started = performance.now()
    await contender.run()
    contender.seconds.push((performance.now() - started) / 1000)
  }
}
for (const { close } of contenders) await close?.()
const prefixWindows = Number(options['prefix-windows'])
const reuse =
  prefixWindows === 0
    ? {}
    : await measurePrefixReuse({ evaluator, directory: options.model, shape, windowLength, windows: prefixWindows })
await evaluator.close()
const memory = {}
for (const weights of ['stored', 'fp32']) {
  memory[weights] = await measureMemory({
    model: options.model,
    weights,
    threads,
    windows,
    windowLength,
    half: halfOfUnits(),
  })
}
const tokenising = await measureTokenising(options.model)
const oneWindow = await measureStart(options.model, windowLength, 1)
report(memory, tokenising, { oneWindow, fourWindows: await measureStart(options.model, windowLength, 4) })

/** Matrix products [M, K] x [K, N], as many of each as take about as long as one evaluation's tenth. */
async function createProducts() {
  const { hiddenSize, ffnChannels, queryHeads, headDim } = shape
  const square = 2048
  const shapes = [
    [tokens, hiddenSize, ffnChannels],
    [tokens, ffnChannels, hiddenSize],
    [tokens, hiddenSize, queryHeads * headDim],
    [square, square, square],
  ]
  const flopsAtLeast = 3e10
  return Promise.all(
    shapes.map(async ([rows, inputs, outputs]) => {
      const session = await createProduct(rows, inputs, outputs)
      const feeds = { x: new Tensor('float32', randomFloats(rows * inputs), [rows, inputs]) }
      const flops = 2 * rows * inputs * outputs
      const repeats = Math.ceil(flopsAtLeast / flops)
      const run = async () => {
        for (let repeat = 0; repeat < repeats; repeat++) await session.run(feeds)
      }
      const name = `product ${rows} x ${inputs} x ${outputs}`
      return { kind: 'product', name, run, flops: flops * repeats, seconds: [], close: () => session.release() }
    }),
  )
}

function createProduct(rows, inputs, outputs) {
  const graph = new OnnxGraph('product')
  graph.addInput('x', 'float', [rows, inputs])
  const weight = new Uint8Array(randomFloats(inputs * outputs).buffer)
  graph.addInitializer('weight', 'float', [inputs, outputs], weight)
  graph.addOutput(graph.add('MatMul', ['x', 'weight']), 'float', [rows, outputs], 'y')
  const bytes = graph.encodeModel({ opset: 21, producer: 'espalier' })
  return InferenceSession.create(bytes, { intraOpNumThreads: threads, executionMode: 'sequential' })
}

function createPolicies() {
  const request = { ids: randomIds(tokens), windowLength, windows, calibration: null }
  const half = halfOfUnits()
  const dense = Array.from({ length: 2 * shape.layers }, (_, module) => range(unitsOf(module)))
  const contender = (kind, keptIndices) => ({
    kind,
    name: kind === 'dense' ? 'dense model' : '50 % of units',
    run: () => evaluator.measure({ ...request, keptIndices }),
    flops: countEvaluationFlops(
      shape,
      (keptIndices ?? dense).map((kept) => kept.length),
      { windowLength, windows },
    ),
    seconds: [],
  })
  return [contender('dense', null), contender('half', half)]
}

/** Every second channel; key-value groups rounded down and up in turn where their number is odd. */
function halfOfUnits() {
  return Array.from({ length: 2 * shape.layers }, (_, module) => {
    const wanted = unitsOf(module) / 2
    const kept = (module >> 1) % 2 === 0 ? Math.ceil(wanted) : Math.floor(wanted)
    return range(kept).map((unit) => Math.floor((unit * unitsOf(module)) / kept))
  })
}

function unitsOf(module) {
  return module % 2 === 0 ? shape.kvHeads : shape.ffnChannels
}

function range(length) {
  return Array.from({ length }, (_, index) => index)
}

function randomFloats(length) {
  return Float32Array.from({ length }, () => Math.random() - 0.5)
}

function randomIds(length) {
  return Int32Array.from({ length }, () => Math.floor(Math.random() * shape.vocabularySize))
}

function report(memory, tokenising, start) {
  const rates = contenders.map(({ kind, name, flops, seconds }) => {
    const fastest = Math.min(...seconds)
    return { kind, name, flopsPerSecond: flops / fastest, tokensPerSecond: tokens / fastest }
  })
  const peak = Math.max(...rates.filter(({ kind }) => kind === 'product').map(({ flopsPerSecond }) => flopsPerSecond))
  const dense = rates.find(({ kind }) => kind === 'dense')
  const half = rates.find(({ kind }) => kind === 'half')
  const summary = {
    denseFractionOfPeak: dense.flopsPerSecond / peak,
    halfFractionOfPeak: half.flopsPerSecond / peak,
    denseTokensPerSecond: dense.tokensPerSecond,
    halfTokensPerSecond: half.tokensPerSecond,
    peakFlopsPerSecond: peak,
    weights: options.weights,
    peakResidentBytes: memory[options.weights],
    peakResidentBytesByWeights: memory,
    weightBytes: shape.weightBytes,
    tokenisedBytesPerSecond: tokenising.bytesPerSecond,
    tokensTokenisedPerSecond: tokenising.tokensPerSecond,
    startSeconds: start.oneWindow,
    startSecondsFourWindows: start.fourWindows,
    windowLength,
    threads,
    ...reuse,
  }
  if (options.json) return console.log(JSON.stringify(summary))
  for (const { name, flopsPerSecond } of rates) {
    const share = ((100 * flopsPerSecond) / peak).toFixed(1).padStart(6)
    console.log(`${name.padEnd(30)} ${(flopsPerSecond / 1e9).toFixed(0).padStart(6)} GFLOP/s ${share} % of peak`)
  }
  console.log(`dense ${dense.tokensPerSecond.toFixed(0)}, half ${half.tokensPerSecond.toFixed(0)} tokens a second`)
  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`
  for (const [weights, bytes] of Object.entries(memory)) {
    console.log(
      `weights ${weights}: peak memory ${megabytes(bytes)}, ${megabytes(bytes - shape.weightBytes)} beyond the file's`,
    )
  }
  console.log(`weights in the file ${megabytes(shape.weightBytes)}`)
  console.log(
    `tokenising ${(tokenising.bytesPerSecond / 1e6).toFixed(1)} MB/s, ${tokenising.tokensPerSecond.toFixed(0)} tokens a second`,
  )
  console.log(
    `espalier ppl, start to end: ${start.oneWindow.toFixed(1)} s, of 4 windows ${start.fourWindows.toFixed(1)} s`,
  )
  if (prefixWindows === 0) return
  const times = (speedup) => `${speedup.toFixed(2)} times as fast together as one by one`
  console.log(`${reuse.probes} probes of one module: ${times(reuse.probePassSpeedup)}`)
  console.log(`${reuse.agentPolicies} policies of a round: ${times(reuse.agentBatchSpeedup)}`)
}
