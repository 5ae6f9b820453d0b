/**
 * How well the predictor predicts policies it has not seen, by number of evaluations, and how fast it is.
 * Data: packages/predictor/fixtures/policies-demo.json, 617 measured policies of the bundled model.
 *
 *   npm run bench -- predictor [--draws 12] [--sizes 30,60,120,240] [--json]
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { intervalCoverage, meanAbsoluteError, trainPredictor, withinBinSpearman } from '@espalier/predictor'
import { createRandomGenerator, rankUnits } from '@espalier/pruning'
import { median } from './search/median.mjs'

const ort = createRequire(new URL('../packages/predictor/package.json', import.meta.url))('onnxruntime-node')

const { values: options } = parseArgs({
  options: {
    draws: { type: 'string', default: '12' },
    sizes: { type: 'string', default: '30,60,120,240' },
    json: { type: 'boolean', default: false },
  },
})
const HELD_OUT = 180
const BIN_EDGES = [0, 0.15, 0.3, 0.45, 0.63]

const data = readEvaluations()
const rows = options.sizes.split(',').map((size) => measureSize(Number(size), Number(options.draws)))
const speed = await measureSpeed()
if (options.json) {
  console.log(JSON.stringify({ accuracy: rows, speed }))
} else {
  console.log(
    `Held out: ${HELD_OUT} random policies a draw, ${options.draws} draws; bins of sparsity ${BIN_EDGES.join(', ')}`,
  )
  console.table(rows)
  console.table(speed)
}

function readEvaluations() {
  const path = new URL('../packages/predictor/fixtures/policies-demo.json', import.meta.url)
  const file = JSON.parse(readFileSync(path, 'utf8'))
  const modules = file.model.modules.map((module, index) => ({ ...module, index }))
  const prunableParameters = modules.reduce((sum, module) => sum + module.units * module.parametersPerUnit, 0)
  const evaluations = file.evaluations.map((evaluation) => ({
    purpose: evaluation.origin,
    kept: evaluation.keep.flatMap(({ kvGroups, ffnChannels }) => [kvGroups, ffnChannels]),
    logPerplexity: evaluation.logPerplexity,
    sparsity: evaluation.sparsity,
  }))
  return {
    model: { modules, layers: modules.length / 2, prunableParameters },
    rankings: file.importance.map((importance) => rankUnits(Float64Array.from(importance))),
    initial: evaluations.filter(({ purpose }) => purpose !== 'random'),
    random: evaluations.filter(({ purpose }) => purpose === 'random'),
  }
}

/** Mean over the draws; dense model and probes are counted in `size`. */
function measureSize(size, draws) {
  const results = Array.from({ length: draws }, (_, draw) => measureDraw(size, draw + 1))
  const mean = (key) => results.reduce((sum, result) => sum + result[key], 0) / draws
  const round = (value, digits) => Number(value.toFixed(digits))
  return {
    evaluations: size,
    withinBinSpearman: round(mean('withinBin'), 4),
    meanAbsoluteError: round(mean('error'), 4),
    coverage90: round(mean('coverage'), 3),
    intervalWidth: round(mean('width'), 3),
    residualSamples: round(mean('residualSamples'), 0),
    trainMs: round(mean('milliseconds'), 0),
  }
}

function measureDraw(size, draw) {
  const order = createRandomGenerator(draw, 'bench').shuffle([...data.random.keys()])
  const test = order.slice(0, HELD_OUT).map((i) => data.random[i])
  const drawn = order.slice(HELD_OUT, HELD_OUT + size - data.initial.length).map((i) => data.random[i])
  const start = performance.now()
  const predictor = trainPredictor({ ...data, evaluations: [...data.initial, ...drawn], seed: draw })
  const milliseconds = performance.now() - start
  const measured = test.map(({ logPerplexity }) => logPerplexity)
  const predictions = test.map(({ kept }) => predictor.predict(kept))
  const predicted = predictions.map(({ logPerplexity }) => logPerplexity)
  const sparsities = test.map(({ sparsity }) => sparsity)
  return {
    withinBin: withinBinSpearman(measured, predicted, sparsities, BIN_EDGES),
    error: meanAbsoluteError(measured, predicted),
    coverage: intervalCoverage(measured, predictions),
    width: predictions.reduce((sum, { low, high }) => sum + high - low, 0) / predictions.length,
    residualSamples: predictor.summary.residualSamples,
    milliseconds,
  }
}

/** 10,000 policies in one batch on two threads; the median of ten runs after one to warm up. */
async function measureSpeed() {
  const predictor = trainPredictor({ ...data, evaluations: [...data.initial, ...data.random.slice(0, 223)], seed: 1 })
  const policies = 10_000
  const { modules } = data.model
  const random = createRandomGenerator(1, 'bench', 'speed')
  const kept = Array.from({ length: policies }, () => modules.map(({ units }) => random.integer(units + 1)))
  const session = await ort.InferenceSession.create(predictor.toOnnx(), { intraOpNumThreads: 2 })
  const input = new ort.Tensor('int64', BigInt64Array.from(kept.flat(), BigInt), [policies, modules.length])
  const onnxTimes = []
  for (let run = 0; run <= 10; run++) {
    const start = performance.now()
    await session.run({ kept: input })
    if (run > 0) onnxTimes.push(performance.now() - start)
  }
  const score = predictor.createScorer()
  kept.forEach(score)
  const start = performance.now()
  kept.forEach(score)
  const scorerMs = performance.now() - start
  return [
    { what: 'ONNX, two threads', residualSamples: predictor.summary.residualSamples, policies, ms: median(onnxTimes) },
    { what: 'scorer, one thread', residualSamples: predictor.summary.residualSamples, policies, ms: scorerMs },
  ].map((row) => ({ ...row, ms: Number(row.ms.toFixed(1)), policiesPerSecond: Math.round((1000 * policies) / row.ms) }))
}
