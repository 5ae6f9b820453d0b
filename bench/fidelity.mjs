/**
 * What measuring on fewer windows is worth to the predictor, at equal cost: it learns from measurements of the bundled
 * model whose parts are taken on a rung of 1/4 or 1/16 of the windows (cost 1/4 or 1/16), and predicts 180 others on all.
 *
 *   npm run bench -- fidelity [--evaluations FILE] [--budgets 20,30,45,60] [--draws 5] [--json]
 *
 * The file must give every log-perplexity on 1, 4 and 16 windows (`fidelities`). It has no windows by themselves, so how
 * far a rung lies from all windows is taken from the file too; a search estimates it from window to window.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { evaluationsFileSchema } from '@espalier/contracts'
import {
  createEvaluationSet,
  intervalCoverage,
  meanAbsoluteError,
  trainPredictor,
  withinBinSpearman,
} from '@espalier/predictor'
import { createRandomGenerator } from '@espalier/pruning'

const { values: options } = parseArgs({
  options: {
    evaluations: { type: 'string', default: 'packages/predictor/fixtures/policies-demo.json' },
    budgets: { type: 'string', default: '20,30,45,60' },
    draws: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
})

const ALL = 16
const SMALLEST_RISE = 0.01
const HELD_OUT = 180
const binEdges = [0, 0.15, 0.3, 0.45, 0.63]

const file = evaluationsFileSchema.parse(JSON.parse(readFileSync(options.evaluations, 'utf8')))
const set = createEvaluationSet(file)
const evaluations = set.evaluations.map((evaluation, i) => ({ ...evaluation, at: file.evaluations[i].fidelities }))
const dense = evaluations.find(({ purpose }) => purpose === 'dense')
const probes = evaluations.filter(({ purpose }) => purpose === 'probe')
const randoms = evaluations.filter(({ purpose }) => purpose === 'random')

const riseAt = ({ at }, windows) => at[windows] - dense.at[windows]
const scaleOf = (rise) => Math.max(rise, 0) + SMALLEST_RISE
/** Root mean square of the logarithm of a rung's rise to the full one. */
const distances = new Map(
  [probes, randoms].flatMap((group) =>
    [1, 4].map((windows) => {
      const logs = group.map((e) => Math.log(scaleOf(riseAt(e, windows)) / scaleOf(riseAt(e, ALL))) ** 2)
      return [`${group[0].purpose}/${windows}`, Math.sqrt(logs.reduce((sum, value) => sum + value, 0) / logs.length)]
    }),
  ),
)
/** Measured on the first windows only, as an estimate of the full measurement. */
const onRung = (windows) => (evaluation) => {
  const rise = riseAt(evaluation, windows)
  const deviation = distances.get(`${evaluation.purpose}/${windows}`) * scaleOf(rise)
  return { ...evaluation, logPerplexity: dense.logPerplexity + rise, deviation }
}
const exact = (evaluation) => ({ ...evaluation, deviation: 0 })

/** Each spends N full evaluations: the dense model, the probes, and random policies with the rest. */
const ways = {
  'all full': (n, drawn) => [dense, ...probes, ...drawn.slice(0, n - 1 - probes.length)],
  'probes 1/4': (n, drawn) => [dense, ...probes.map(onRung(4)), ...drawn.slice(0, n - 1 - probes.length / 4)],
  'probes 1/4 taken for exact': (n, drawn) => [
    dense,
    ...probes.map(onRung(4)).map(exact),
    ...drawn.slice(0, n - 1 - probes.length / 4),
  ],
  'probes 1/16': (n, drawn) => [dense, ...probes.map(onRung(1)), ...drawn.slice(0, n - 1 - probes.length / 16)],
  'probes and random policies 1/4': (n, drawn) => [
    dense,
    ...probes.map(onRung(4)),
    ...drawn.slice(0, 4 * (n - 1 - probes.length / 4)).map(onRung(4)),
  ],
}

function judge(way, budget, draw) {
  const shuffled = createRandomGenerator(draw, 'fidelity').shuffle([...randoms])
  const heldOut = shuffled.slice(0, HELD_OUT)
  const training = ways[way](budget, shuffled.slice(HELD_OUT))
  const predictor = trainPredictor({ model: set.model, rankings: set.rankings, evaluations: training, seed: draw })
  const measured = heldOut.map(({ logPerplexity }) => logPerplexity)
  const predictions = heldOut.map(({ kept }) => predictor.predict(kept))
  const predicted = predictions.map(({ logPerplexity }) => logPerplexity)
  const sparsities = heldOut.map(({ sparsity }) => sparsity)
  return {
    withinBins: withinBinSpearman(measured, predicted, sparsities, binEdges),
    error: meanAbsoluteError(measured, predicted),
    coverage: intervalCoverage(measured, predictions),
  }
}

const draws = Array.from({ length: Number(options.draws) }, (_, index) => index + 1)
const rows = options.budgets.split(',').flatMap((text) =>
  Object.keys(ways).map((way) => {
    const judged = draws.map((draw) => judge(way, Number(text), draw))
    const mean = (name) => Number((judged.reduce((sum, result) => sum + result[name], 0) / judged.length).toFixed(3))
    const [withinBins, error, coverage] = [mean('withinBins'), mean('error'), mean('coverage')]
    return { 'cost in full evaluations': Number(text), measured: way, withinBins, error, coverage }
  }),
)
if (options.json) console.log(JSON.stringify(rows))
else console.table(rows)
